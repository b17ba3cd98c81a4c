package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.HdrHistogram.Histogram;
import org.junit.jupiter.api.Test;

final class OperationFiguresTest {
  private static OperationFigures reads(long count, long micros) {
    Histogram latencies = new Histogram(2);
    latencies.recordValueWithCount(micros, count);
    return new OperationFigures(count, Map.of(IoError.IO, 1L), count * 4096, latencies);
  }

  /// What a server would answer.
  static Map<String, Object> answer(Map<String, Object> reads) {
    return Map.of("io", Map.of("inFlight", 7L, "operations", Map.of("read", reads)));
  }

  private static OperationFigures sent(Map<String, Object> reads) throws IOException {
    JsonObject answer = JsonObject.parse(Json.write(answer(reads)));
    return OperationFigures.of(answer).getOrDefault(Operation.READ, OperationFigures.none());
  }

  @Test
  void allOfItArrives() throws IOException {
    OperationFigures figures = reads(100, 250);

    assertEquals(figures, sent(figures.inFull()));
  }

  @Test
  void whatNeverHappenedIsNothing() throws IOException {
    JsonObject answer = JsonObject.parse(Json.write(answer(reads(1, 1).inFull())));

    assertEquals(OperationFigures.none(), OperationFigures.of(answer).get(Operation.WRITE));
  }

  @Test
  void theDifferenceHasOnlyTheNewTimes() {
    Histogram both = reads(100, 250).latencies().copy();
    both.recordValueWithCount(9000, 10);
    OperationFigures now =
        new OperationFigures(110, Map.of(IoError.IO, 2L, IoError.UNREACHABLE, 1L), 450_560, both);

    OperationFigures difference = now.since(reads(100, 250));

    assertEquals(10, difference.count());
    assertEquals(Map.of(IoError.IO, 1L, IoError.UNREACHABLE, 1L), difference.failures());
    assertEquals(2, difference.errors());
    assertEquals(40_960, difference.bytes());
    assertEquals(9000, (double) difference.latencies().getValueAtPercentile(50), 90);
  }

  @Test
  void aServerThatBeganAnewHasDoneAllOfIt() {
    assertEquals(reads(5, 250), reads(5, 250).since(reads(100, 250)));
    assertEquals(reads(200, 250), reads(200, 250).since(reads(100, 9000)));
  }

  @Test
  void damagedTimesAreToldByName() {
    Map<String, Object> damaged = new HashMap<>(reads(1, 1).inFull());
    damaged.put("latencies", "AAAA");

    IOException told = assertThrows(IOException.class, () -> sent(damaged));

    assertEquals(0, String.valueOf(told.getMessage()).indexOf("'latencies' is no histogram"));
  }
}
