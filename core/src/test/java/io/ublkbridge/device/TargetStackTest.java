package io.ublkbridge.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TargetStackTest {
  @AutoClose private final UringLoops loops = new UringLoops(1);
  private final List<String> log = new ArrayList<>();
  private final TargetRegistry targets = new TargetRegistry(List.of(new Provider()));

  @TempDir Path directory;

  @Test
  void withoutAnOverlayTheTargetIsAsItIs() throws Exception {
    try (BlockTarget target = open(Map.of(), false)) {
      assertFalse(target.capabilities().readOnly());
      assertEquals(4, target.capabilities().queues());
    }
    assertEquals(List.of("open for writing", "close"), log);
  }

  /// Which blocks an overlay holds is known to the process that dies.
  @Test
  void onlyWithoutAnOverlayMayAnotherServerGoOn() throws Exception {
    try (BlockTarget target = open(Map.of("cache", "4M"), true)) {
      assertEquals("fixed", target.succession().orElseThrow().identity());
    }
    Map<String, String> options = Map.of("overlay", directory.resolve("o").toString());
    try (BlockTarget target = open(options, false)) {
      assertTrue(target.succession().isEmpty());
    }
    try (BlockTarget target = open(options, true)) {
      assertTrue(target.succession().isEmpty());
    }
  }

  @Test
  void aReadOnlyDiskIsNotForWriting() throws Exception {
    try (BlockTarget target = open(Map.of(), true)) {
      assertTrue(target.capabilities().readOnly());
    }
  }

  @Test
  void belowAnOverlayTheTargetIsOnlyRead() throws Exception {
    Map<String, String> options = Map.of("overlay", directory.resolve("o").toString());
    try (BlockTarget target = open(options, false)) {
      assertEquals(
          new Capabilities(false, true, false, true, true, false, 1), target.capabilities());
      assertTrue(target.contentIdentity().isEmpty());
      assertTrue(target.details().containsKey("overlay"));
    }
    try (BlockTarget target = open(options, true)) {
      assertTrue(target.capabilities().readOnly());
      assertFalse(target.capabilities().discard());
    }
    assertEquals(List.of("open for reading", "close", "open for reading", "close"), log);
  }

  @Test
  void anOverlayThatIsRefusedLeavesNothingOpen() throws Exception {
    Path file = Files.writeString(directory.resolve("o"), "precious");
    assertThrows(
        TargetOpenException.class, () -> open(Map.of("overlay", file.toString()), false).close());
    assertEquals(List.of("open for reading", "close"), log);
    assertEquals("precious", Files.readString(file));
  }

  private BlockTarget open(Map<String, String> options, boolean readOnly)
      throws TargetOpenException {
    OpenContext context = loops.openContext(options);
    return TargetStack.open(
        targets,
        TargetUri.parse("fixed:x"),
        new OpenContext(context.eventLoop(), readOnly, context.timeout(), options));
  }

  private final class Provider implements TargetProvider {
    @Override
    public Set<String> schemes() {
      return Set.of("fixed");
    }

    @Override
    public TargetUri resolve(TargetUri uri) {
      return uri;
    }

    @Override
    public BlockTarget open(TargetUri uri, OpenContext context) {
      log.add(context.readOnly() ? "open for reading" : "open for writing");
      return new Logged(
          new FixedTarget(
              new Geometry(1 << 20, 512, 4096, 1 << 20, 1 << 20),
              new Capabilities(false, true, true, true, true, false, 4),
              new Nowhere()));
    }
  }

  private record Nowhere() implements TargetQueue {
    @Override
    public void submit(io.ublkbridge.target.BlockRequest request) {
      request.complete();
    }

    @Override
    public void close() {}
  }

  private final class Logged extends ForwardingTarget {
    Logged(BlockTarget next) {
      super(next);
    }

    @Override
    public Optional<Succession> succession() {
      return Optional.of(new Succession("fixed"));
    }

    @Override
    public void close() {
      log.add("close");
      super.close();
    }
  }
}
