package hello;

/** The function of `make bench-cold RUNTIME=java21`. */
public class Hello {
    public String handler(Object event) {
        return "hello";
    }
}
