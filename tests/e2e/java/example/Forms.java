package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.events.SQSEvent;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Handlers in every form that Lambda's Java runtime knows. */
public class Forms {
    private Forms() { }

    /** An event as a plain object. */
    public static class Rectangle {
        private double length;
        private double width;

        public double getLength() { return length; }
        public void setLength(double value) { length = value; }
        public double getWidth() { return width; }
        public void setWidth(double value) { width = value; }
    }

    /** An answer as a plain object. */
    public record Area(double area, String requestId) {
        public double getArea() { return area; }
        public String getRequestId() { return requestId; }
    }

    /** A method of any class. */
    public static class Plain {
        public Area area(Rectangle event, Context context) {
            return new Area(event.getLength() * event.getWidth(), context.getAwsRequestId());
        }
    }

    /** The interface with types; does what the event says. */
    public static class Typed implements RequestHandler<Map<String, Object>, Object> {
        private int calls;

        @Override
        public Object handleRequest(Map<String, Object> event, Context context) {
            calls++;
            context.getLogger().log("call " + calls + "\n");
            switch (String.valueOf(event.get("do"))) {
                case "spy":
                    Map<String, Object> seen = new HashMap<>();
                    seen.put("env", System.getenv());
                    seen.put("cwd", System.getProperty("user.dir"));
                    seen.put("options", ManagementFactory.getRuntimeMXBean().getInputArguments());
                    seen.put("heap", Runtime.getRuntime().maxMemory());
                    seen.put("remaining", context.getRemainingTimeInMillis());
                    seen.put("java", System.getProperty("java.version"));
                    return seen;
                case "raise":
                    throw new IllegalStateException("boom", new IOException("because"));
                case "exit":
                    System.exit(3);
                    return null;
                case "sleep":
                    sleep();
                    return null;
                case "hoard": // half on the heap, half beside it: neither limit of the JVM's own is met
                    for (List<Object> all = new ArrayList<>();;) {
                        all.add(new byte[8 << 20]);
                        all.add(ByteBuffer.allocateDirect(8 << 20));
                    }
                default:
                    return calls;
            }
        }
    }

    private static void sleep() {
        try {
            Thread.sleep(60_000);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    /** The interface with streams. */
    public static class Streams implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            out.write("{\"echo\": ".getBytes(StandardCharsets.UTF_8));
            in.transferTo(out);
            out.write('}');
        }
    }

    /** An event of AWS's own library, which the function brings in its folder lib. */
    public static class Messages implements RequestHandler<SQSEvent, List<String>> {
        @Override
        public List<String> handleRequest(SQSEvent event, Context context) {
            return event.getRecords().stream().map(SQSEvent.SQSMessage::getBody).toList();
        }
    }

    /** A class that cannot be made. */
    public static class Broken implements RequestHandler<Object, Object> {
        public Broken() { throw new IllegalArgumentException("no such luck"); }

        @Override
        public Object handleRequest(Object event, Context context) { return null; }
    }
}
