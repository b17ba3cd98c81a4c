package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cache.TouchList.Range;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TouchRecorderTest {
  private static final BlockMap MAP = new BlockMap((1 << 20) + 512, 4096);

  @TempDir Path directory;

  @Test
  void whatIsWrittenAtTheEndCanBeReadAgain() throws Exception {
    Path file = directory.resolve("boot.list");
    TouchRecorder recorder = TouchRecorder.open(file, "s3://b/k etag\n1", MAP);
    assertTrue(TouchList.isList(file), "a list is there from the start");
    recorder.touches().touch(256, 256);
    recorder.touches().touch(3, 5);
    recorder.touches().touch(4, 6);
    recorder.close();
    recorder.close();

    TouchList list = TouchList.read(file);
    assertEquals(List.of(new Range(1 << 20, 512), new Range(12288, 16384)), list.ranges());
    assertTrue(list.isOf("s3://b/k etag\n1", MAP.sizeBytes()));
    assertFalse(list.isOf("s3://b/k etag 2", MAP.sizeBytes()));
    assertFalse(list.isOf("s3://b/k etag\n1", 1 << 20));
    try (var files = Files.list(directory)) {
      assertEquals(1, files.count(), "nothing temporary is left");
    }
  }

  @Test
  void listMayBeWrittenAgainButNothingElseIsOverwritten() throws Exception {
    Path list = directory.resolve("list");
    TouchRecorder.open(list, "x", MAP).close();
    TouchRecorder.open(list, "y", MAP).close();
    assertTrue(TouchList.read(list).isOf("y", MAP.sizeBytes()));

    Path letter = Files.writeString(directory.resolve("letter"), "Dear all,\n");
    TargetOpenException refused =
        assertThrows(TargetOpenException.class, () -> TouchRecorder.open(letter, "x", MAP));
    assertEquals(Reason.INVALID, refused.reason());
    assertEquals("Dear all,\n", Files.readString(letter));
  }

  @Test
  void directoryThatIsMissingIsSaid() {
    TargetOpenException refused =
        assertThrows(
            TargetOpenException.class,
            () -> TouchRecorder.open(directory.resolve("no/list"), "x", MAP));
    assertEquals(Reason.FAILED, refused.reason());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "something else",
        "ublk-bridge touches 2\nof x\nsize 512\n",
        "ublk-bridge touches 1\n",
        "ublk-bridge touches 1\nof x\nsize y\n",
        "ublk-bridge touches 1\nof x\nsize 512\n0\n",
        "ublk-bridge touches 1\nof x\nsize 512\n0 513\n",
        "ublk-bridge touches 1\nof x\nsize 512\n512 1\n",
        "ublk-bridge touches 1\nof x\nsize 512\n-1 1\n",
        "ublk-bridge touches 1\nof x\nsize 512\n0 0\n",
        "ublk-bridge touches 1\nof x\nsize 512\n999999999999999999999 1\n"
      })
  void damagedListsAreRefused(String text) throws IOException {
    Path file = Files.writeString(directory.resolve("list"), text);
    assertThrows(IOException.class, () -> TouchList.read(file));
  }

  @Test
  void recordIsBounded() {
    FirstTouches touches = new FirstTouches(MAP, 3);
    for (int block = 0; block < 200; block += 2) {
      touches.touch(block, block);
    }
    assertEquals(3, touches.ranges().size());
  }

  @Test
  void hugeDiskIsNotedInCoarserUnits() {
    FirstTouches touches = new FirstTouches(new BlockMap(1L << 50, 64 << 10));
    touches.touch(1L << 33, (1L << 33) + 3);
    touches.touch(5, 5);
    assertEquals(
        List.of(new Range(1L << 49, 64 << 10), new Range(5 << 16, 64 << 10)), touches.ranges());
  }
}
