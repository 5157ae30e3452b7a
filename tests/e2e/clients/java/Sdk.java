// AWS SDK for Java v2: create, wait, invoke, stream, page, errors. Prints what it saw as JSON.
// Arguments: the function's name, a zip, an ARN of a role. Endpoint and keys: the environment's.

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletionException;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.lambda.LambdaAsyncClient;
import software.amazon.awssdk.services.lambda.model.InvocationType;
import software.amazon.awssdk.services.lambda.model.InvalidRequestContentException;
import software.amazon.awssdk.services.lambda.model.InvokeWithResponseStreamResponseHandler;
import software.amazon.awssdk.services.lambda.model.LogType;
import software.amazon.awssdk.services.lambda.model.ResourceConflictException;
import software.amazon.awssdk.services.lambda.model.ResourceNotFoundException;

public final class Sdk {
    public static void main(String[] words) throws Exception {
        String name = words[0], role = words[2];
        SdkBytes code = SdkBytes.fromByteArray(Files.readAllBytes(Path.of(words[1])));
        try (LambdaAsyncClient client = LambdaAsyncClient.create()) {
            var created = client.createFunction(r -> r.functionName(name).role(role)
                .runtime("python3.13").handler("app.handler").code(c -> c.zipFile(code))).join();
            client.waiter().waitUntilFunctionActiveV2(r -> r.functionName(name)).join();
            var answer = client.invoke(r -> r.functionName(name).logType(LogType.TAIL)
                .payload(SdkBytes.fromUtf8String("{\"a\":1}"))).join();
            var text = new StringBuilder();
            var ends = new StringBuilder();
            var reader = InvokeWithResponseStreamResponseHandler.Visitor.builder()
                .onPayloadChunk(chunk -> text.append(chunk.payload().asUtf8String()))
                .onInvokeComplete(end -> ends.append("complete")).build();
            client.invokeWithResponseStream(
                r -> r.functionName(name).payload(SdkBytes.fromUtf8String("{\"a\":2}")),
                InvokeWithResponseStreamResponseHandler.builder().subscriber(reader).build()).join();
            int accepted = client.invoke(r -> r.functionName(name)
                .invocationType(InvocationType.EVENT)).join().statusCode();
            boolean[] listed = {false};
            client.listFunctionsPaginator(r -> r.maxItems(1)).functions()
                .subscribe(each -> listed[0] |= each.functionName().equals(name)).join();
            System.out.println(String.format(
                "{\"state\": \"%s\", \"status\": %d, \"answer\": %s, \"tail\": %b, "
                + "\"streamed\": %s, \"end\": \"%s\", \"accepted\": %d, \"listed\": %b, "
                + "\"missing\": %b, \"conflict\": %b, \"content\": %b}",
                created.stateAsString(), answer.statusCode(), answer.payload().asUtf8String(),
                answer.logResult() != null, text, ends, accepted, listed[0],
                thrown(() -> client.getFunction(r -> r.functionName(name + "-missing")).join())
                    instanceof ResourceNotFoundException e && e.type() != null,
                thrown(() -> client.createFunction(r -> r.functionName(name).role(role)
                    .runtime("python3.13").handler("app.handler").code(c -> c.zipFile(code))).join())
                    instanceof ResourceConflictException,
                thrown(() -> client.invoke(r -> r.functionName(name)
                    .payload(SdkBytes.fromUtf8String("{"))).join())
                    instanceof InvalidRequestContentException));
        }
    }

    private static Throwable thrown(Runnable call) {
        try {
            call.run();
            return null;
        } catch (CompletionException error) {
            return error.getCause();
        }
    }
}
