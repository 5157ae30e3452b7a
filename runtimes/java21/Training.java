import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Teaches the archive of classes (AppCDS) what a start and the first invocations need: functions of
 * every form, and a Runtime API that gives them some events. Only runs while the image is built.
 */
public class Training {
    private static final List<String> EVENTS = List.of(
            "{\"length\": 6, \"width\": 7, \"deep\": {\"list\": [1, 2.5, true, null, \"text\"]}}",
            "{\"fail\": true}", "{\"length\": 1}", "{\"exit\": true}");

    public static class Rectangle {
        private double length;
        private boolean fail;
        private boolean exit;

        public double getLength() { return length; }
        public void setLength(double value) { length = value; }
        public boolean isFail() { return fail; }
        public void setFail(boolean value) { fail = value; }
        public boolean isExit() { return exit; }
        public void setExit(boolean value) { exit = value; }
    }

    private static Map<String, Object> answer(boolean fail, boolean exit, Context context) {
        if (exit) {
            System.exit(0);
        }
        if (fail) {
            throw new IllegalStateException("as asked", new RuntimeException("for a reason"));
        }
        context.getLogger().log("request " + context.getAwsRequestId());
        System.out.println(context.getRemainingTimeInMillis());
        Map<String, Object> result = new HashMap<>();
        result.put("statusCode", 200);
        result.put("headers", Map.of("content-type", "text/plain"));
        result.put("body", List.of(1, 2.5, "text", true));
        return result;
    }

    public static class OfMap implements RequestHandler<Map<String, Object>, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
            return answer(event.containsKey("fail"), event.containsKey("exit"), context);
        }
    }

    public static class OfStream implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream in, OutputStream out, Context context) throws IOException {
            String event = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            Object result = answer(event.contains("fail"), event.contains("exit"), context);
            out.write(("\"" + result + "\"").getBytes(StandardCharsets.UTF_8));
        }
    }

    public static class OfRectangle {
        public Map<String, Object> handle(Rectangle event, Context context) {
            return answer(event.isFail(), event.isExit(), context);
        }
    }

    /** The Runtime API, as far as it is needed: the port is the argument. */
    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        AtomicInteger served = new AtomicInteger();
        server.createContext("/", exchange -> {
            boolean next = exchange.getRequestURI().getPath().endsWith("/next");
            String body = next ? EVENTS.get(served.getAndIncrement() % EVENTS.size()) : "{\"status\":\"OK\"}";
            exchange.getRequestBody().readAllBytes();
            exchange.getResponseHeaders().add("Content-Type", "application/json");
            if (next) {
                exchange.getResponseHeaders().add("Lambda-Runtime-Aws-Request-Id", "request-" + served.get());
                exchange.getResponseHeaders().add("Lambda-Runtime-Deadline-Ms",
                        String.valueOf(System.currentTimeMillis() + 60_000));
                exchange.getResponseHeaders().add("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda");
                exchange.getResponseHeaders().add("Lambda-Runtime-Trace-Id", "Root=1-0-0");
            }
            byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(next ? 200 : 202, bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        });
        server.start();
    }
}
