import org.elasticmq.rest.sqs.SQSRestServerBuilder;

/** ElasticMQ, an SQS server, on the port given; ready when it says so. */
public class Queues {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        SQSRestServerBuilder.withPort(port).withInterface("127.0.0.1").start().waitUntilStarted();
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
