package io.ublkbridge.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Objects as JSON text and back. Values are String, Boolean, Long, Integer, Double, List and Map;
/// a value that is null is left out.
///
/// Jackson's streaming part only: binding would double the start-up of `list`.
final class Json {
  private static final JsonFactory FACTORY = new JsonFactory();

  private Json() {}

  /// The object in one line.
  static String write(Map<String, ?> object) {
    StringWriter text = new StringWriter();
    try (JsonGenerator generator = FACTORY.createGenerator(text)) {
      writeObject(generator, object);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return text.toString();
  }

  /// What tells the elements of a list one by one.
  @FunctionalInterface
  interface Elements<X extends Exception> {
    void tell(Consumer<Map<String, ?>> element) throws X;
  }

  /// Writes the object with a further field `list`, whose elements are written as they are told. If
  /// that fails the text stays without its end, so that nobody takes it for the whole.
  static <X extends Exception> void write(
      Writer to, Map<String, ?> object, String list, Elements<X> elements) throws X {
    try (JsonGenerator generator = FACTORY.createGenerator(to)) {
      generator.disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET);
      generator.disable(JsonGenerator.Feature.AUTO_CLOSE_JSON_CONTENT);
      generator.writeStartObject();
      writeFields(generator, object);
      generator.writeArrayFieldStart(list);
      elements.tell(element -> writeElement(generator, element));
      generator.writeEndArray();
      generator.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void writeElement(JsonGenerator generator, Map<String, ?> element) {
    try {
      writeObject(generator, element);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// The object in `text`; numbers become Long or Double.
  ///
  /// @throws IOException if it is not a JSON object
  static Map<String, Object> read(String text) throws IOException {
    try (JsonParser parser = FACTORY.createParser(text)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new IOException("not a JSON object");
      }
      return readObject(parser);
    }
  }

  private static void writeObject(JsonGenerator generator, Map<?, ?> object) throws IOException {
    generator.writeStartObject();
    writeFields(generator, object);
    generator.writeEndObject();
  }

  private static void writeFields(JsonGenerator generator, Map<?, ?> object) throws IOException {
    for (Map.Entry<?, ?> entry : object.entrySet()) {
      if (entry.getValue() != null) {
        generator.writeFieldName(String.valueOf(entry.getKey()));
        writeValue(generator, entry.getValue());
      }
    }
  }

  private static void writeValue(JsonGenerator generator, @Nullable Object value)
      throws IOException {
    switch (value) {
      case null -> generator.writeNull();
      case Boolean truth -> generator.writeBoolean(truth);
      case Integer number -> generator.writeNumber(number);
      case Long number -> generator.writeNumber(number);
      case Double number -> generator.writeNumber(number);
      case Map<?, ?> object -> writeObject(generator, object);
      case Iterable<?> list -> {
        generator.writeStartArray();
        for (Object element : list) {
          writeValue(generator, element);
        }
        generator.writeEndArray();
      }
      default -> generator.writeString(value.toString());
    }
  }

  private static Map<String, Object> readObject(JsonParser parser) throws IOException {
    Map<String, Object> object = new LinkedHashMap<>();
    while (parser.nextToken() == JsonToken.FIELD_NAME) {
      String name = parser.currentName();
      Object value = readValue(parser, parser.nextToken());
      if (value != null) {
        object.put(name, value);
      }
    }
    return object;
  }

  private static @Nullable Object readValue(JsonParser parser, JsonToken token) throws IOException {
    return switch (token) {
      case START_OBJECT -> readObject(parser);
      case START_ARRAY -> readArray(parser);
      case VALUE_STRING -> parser.getText();
      case VALUE_NUMBER_INT -> parser.getLongValue();
      case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case VALUE_NULL -> null;
      default -> throw new IOException("unexpected " + token);
    };
  }

  private static List<Object> readArray(JsonParser parser) throws IOException {
    List<Object> array = new ArrayList<>();
    for (JsonToken token = parser.nextToken();
        token != JsonToken.END_ARRAY;
        token = parser.nextToken()) {
      Object value = readValue(parser, token);
      if (value != null) {
        array.add(value);
      }
    }
    return array;
  }
}
