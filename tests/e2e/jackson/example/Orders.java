package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** Events as Jackson reads them: records, lists, times; what it refuses is the function's error. */
public class Orders implements RequestStreamHandler {
    record Item(@JsonProperty(required = true) String name, int count) { }

    record Order(String id, Instant placed, List<Item> items) { }

    record Summary(String id, int pieces, Instant due, String context) { }

    private static final ObjectMapper MAPPER = JsonMapper.builder()
        .addModule(new JavaTimeModule())
        .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
        .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
        .build();

    @Override
    public void handleRequest(InputStream input, OutputStream output, Context context)
            throws IOException {
        Order order = MAPPER.readValue(input, Order.class);
        context.getLogger().log("order\n" + order.id());
        int pieces = order.items().stream().mapToInt(Item::count).sum();
        Instant due = order.placed().plus(Duration.ofDays(2));
        MAPPER.writeValue(output, new Summary(order.id(), pieces, due, context.getFunctionName()));
    }
}
