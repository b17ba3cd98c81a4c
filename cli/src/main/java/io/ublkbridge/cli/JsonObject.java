package io.ublkbridge.cli;

import java.io.IOException;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Reads the fields of an object that [Json] parsed; a field that is missing or of another kind is
/// an [IOException] that names it.
record JsonObject(Map<String, Object> fields) {
  static JsonObject parse(String text) throws IOException {
    return new JsonObject(Json.read(text));
  }

  boolean has(String name) {
    return fields.containsKey(name);
  }

  String text(String name) throws IOException {
    return field(name, String.class);
  }

  @Nullable String textOrNull(String name) throws IOException {
    return has(name) ? text(name) : null;
  }

  Instant time(String name) throws IOException {
    try {
      return Instant.parse(text(name));
    } catch (DateTimeParseException e) {
      throw new IOException("'" + name + "' is not a time", e);
    }
  }

  long number(String name) throws IOException {
    return field(name, Long.class);
  }

  int integer(String name) throws IOException {
    long value = number(name);
    if ((int) value != value) {
      throw new IOException("'" + name + "' is out of range: " + value);
    }
    return (int) value;
  }

  boolean truth(String name) throws IOException {
    return field(name, Boolean.class);
  }

  JsonObject object(String name) throws IOException {
    Map<String, Object> object = new LinkedHashMap<>();
    Map<?, ?> value = field(name, Map.class);
    value.forEach((key, element) -> object.put(String.valueOf(key), element));
    return new JsonObject(object);
  }

  Map<String, String> texts(String name) throws IOException {
    Map<String, String> texts = new LinkedHashMap<>();
    object(name).fields.forEach((key, value) -> texts.put(key, String.valueOf(value)));
    return texts;
  }

  private <T> T field(String name, Class<T> type) throws IOException {
    Object value = fields.get(name);
    if (!type.isInstance(value)) {
      throw new IOException("'" + name + "' is missing or not a " + type.getSimpleName());
    }
    return type.cast(value);
  }
}
