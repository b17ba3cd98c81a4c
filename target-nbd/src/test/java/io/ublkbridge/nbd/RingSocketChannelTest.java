package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEventLoop;
import io.netty.util.concurrent.Promise;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.UringLoops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A socket that Netty did not make works as one that it did. Shown with a Unix socket, which every
/// machine has; the device tests do the same with a vsock.
final class RingSocketChannelTest {
  private static final int AF_UNIX = 1;

  @TempDir Path directory;

  private static int connect(Path socket) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment address = arena.allocate(110);
      address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
      address.setString(2, socket.toString());
      return Posix.connectedSocket(AF_UNIX, address);
    }
  }

  @Test
  void itShakesHandsAndReadsAndCloses() throws Exception {
    MemoryServer memory = new MemoryServer(1 << 20, MemoryServer.ALL_FLAGS, true);
    Path socket = directory.resolve("s");
    try (ScriptedServer _ = ScriptedServer.onUnix(socket, memory);
        UringLoops loops = new UringLoops(1)) {
      int fd = connect(socket);
      assertTrue(fd >= 0, "connected");
      IoEventLoop loop = loops.next();
      ReceiveBuffer receiveBuffer = new ReceiveBuffer();
      Promise<NbdConnection> handshake = loop.newPromise();
      RingSocketChannel channel = new RingSocketChannel(fd, receiveBuffer);
      channel
          .pipeline()
          .addLast(
              new HandshakeHandler(
                      "test", new OptionHaggling("disk", Purpose.USE), receiveBuffer, handshake)
                  .within(Duration.ofSeconds(9), Duration.ofSeconds(9)));
      assertTrue(channel.register(loop).await(10, TimeUnit.SECONDS));
      NbdConnection connection = handshake.get(10, TimeUnit.SECONDS);
      RecordedRequest read = RecordedRequest.read(4096, 1 << 16);
      loop.execute(() -> {
        connection.start(read, NbdProtocol.NBD_CMD_READ, 0, null);
        connection.flush();
      });
      assertNull(read.await());
      assertArrayEquals(Bytes.pattern(4096, 1 << 16), read.payload());
      connection.close();
      while (memory.seen(NbdProtocol.NBD_CMD_DISC).isEmpty()) {
        Thread.onSpinWait();
      }
    }
  }
}
