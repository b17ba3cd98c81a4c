package io.ublkbridge.cli;

import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/// What a server tells the one who started it, a line of JSON each: the id as soon as there is one,
/// then that it serves or why it does not.
sealed interface ServerReport {
  /// The device exists under this id and must be deleted if the start fails.
  record Added(int id) implements ServerReport {}

  /// The disk is served.
  ///
  /// @param pause how long its I/O had to wait for that; zero if nobody can say
  record Ready(int id, Duration pause) implements ServerReport {}

  /// The start failed; the server has left nothing but its log.
  record Failed(CommandFailure failure) implements ServerReport {}

  /// The server ended without a word.
  record Died() implements ServerReport {}

  /// The report as a line. A server that died cannot tell.
  default String toJson() {
    Map<String, Object> fields = new LinkedHashMap<>();
    switch (this) {
      case Added added -> fields.put("added", added.id);
      case Ready ready -> {
        fields.put("ready", ready.id);
        fields.put("pauseMillis", ready.pause.toMillis());
      }
      case Failed failed -> {
        fields.put("failed", failed.failure.message());
        fields.put("exitCode", failed.failure.exitCode().name());
        String remedy = failed.failure.remedy();
        if (remedy != null) {
          fields.put("remedy", remedy);
        }
      }
      case Died _ -> throw new IllegalStateException("a dead server reports nothing");
    }
    return Json.write(fields);
  }

  static ServerReport ofJson(String line) throws IOException {
    JsonObject fields = JsonObject.parse(line);
    if (fields.has("added")) {
      return new Added(fields.integer("added"));
    }
    if (fields.has("ready")) {
      long pauseMillis = fields.has("pauseMillis") ? fields.number("pauseMillis") : 0;
      return new Ready(fields.integer("ready"), Duration.ofMillis(pauseMillis));
    }
    return new Failed(
        new CommandFailure(
            ExitCode.valueOf(fields.text("exitCode")),
            fields.text("failed"),
            fields.textOrNull("remedy")));
  }
}
