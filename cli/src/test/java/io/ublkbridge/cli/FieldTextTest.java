package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class FieldTextTest {
  @Test
  void alignsValuesAndIndentsObjects() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("size", 1536L);
    fields.put("blockSize", 512);
    fields.put("empty", Map.of());
    fields.put("features", Map.of("readOnly", true));
    fields.put("exports", List.of("a", Map.of("name", "b")));

    assertEquals(
        List.of(
            "size        1536 (1.5K)",
            "block size  512",
            "features",
            "  read only  yes",
            "exports     a, b"),
        FieldText.lines(fields));
  }

  @Test
  void jsonComesBackAsItWent() throws IOException {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("text", "\"quoted\"\n\u00e4");
    fields.put("number", Long.MAX_VALUE);
    fields.put("truth", true);
    fields.put("list", List.of("a", 1L, List.of(), Map.of("k", false)));

    assertEquals(fields, Json.read(Json.write(fields)));
  }

  @Test
  void brokenJsonIsAnIoException() {
    for (String text : new String[] {"", "[]", "{", "{\"a\":}", "{\"a\":1"}) {
      assertThrows(IOException.class, () -> Json.read(text), text);
    }
  }
}
