package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** The platform's edges: does what the event says, as the functions of test_edges.py. */
public class Edges implements RequestHandler<Map<String, Object>, Object> {
    private final AtomicInteger ticks = new AtomicInteger();
    private int calls;

    public Edges() {
        String load = String.valueOf(System.getenv("AT_LOAD"));
        if (load.equals("fail")) {
            throw new IllegalStateException("no such luck");
        } else if (load.equals("sleep")) {
            pause(11_000);
        }
    }

    @Override
    public Object handleRequest(Map<String, Object> event, Context context) {
        calls++;
        switch (String.valueOf(event.get("do"))) {
            case "calls":
                return calls;
            case "thread":
                return thread();
            case "big":
                return "x".repeat(((Number) event.get("bytes")).intValue() - 2);
            case "size":
                return String.valueOf(event.get("text")).length();
            case "deep":
                return event.get("deep");
            case "remaining":
                return context.getRemainingTimeInMillis();
            case "write":
                return write(String.valueOf(event.get("path")));
            case "flood":
                return flood(((Number) event.get("megabytes")).intValue());
            case "binary":
                System.out.writeBytes("bytes ".getBytes(StandardCharsets.UTF_8));
                System.out.writeBytes(new byte[] {(byte) 128, (byte) 255, 0, 13});
                System.out.writeBytes(" end\n".getBytes(StandardCharsets.UTF_8));
                System.out.flush();
                return null;
            case "memory": // half on the heap, half beside it: neither limit of the JVM's own is met
                for (List<Object> all = new ArrayList<>();;) {
                    all.add(new byte[8 << 20]);
                    all.add(ByteBuffer.allocateDirect(8 << 20));
                }
            case "sleep":
                pause(60_000);
                return null;
            default:
                return event;
        }
    }

    private int thread() {
        if (ticks.get() == 0) {
            Thread thread = new Thread(() -> {
                for (;;) {
                    pause(20);
                    ticks.incrementAndGet();
                }
            });
            thread.setDaemon(true);
            thread.start();
            pause(200);
        }
        return ticks.get();
    }

    private static String write(String path) {
        try (FileOutputStream file = new FileOutputStream(path, true)) {
            file.write('x');
            return "written";
        } catch (IOException refused) {
            return "refused";
        }
    }

    private static String flood(int megabytes) {
        byte[] line = new byte[1024];
        Arrays.fill(line, (byte) 'x');
        line[1023] = '\n';
        for (int n = 0; n < megabytes * 1024; n++) {
            System.out.write(line, 0, line.length);
        }
        System.out.flush();
        return "done";
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }
}
