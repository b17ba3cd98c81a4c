package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.concurrent.Promise;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// A server that stops talking, on a clock that the test moves.
final class HandshakeDeadlineTest {
  private final EmbeddedChannel channel = new EmbeddedChannel();
  private final ReceiveBuffer receiveBuffer = new ReceiveBuffer();
  private final Promise<NbdConnection> result = channel.eventLoop().newPromise();

  @BeforeEach
  void start() {
    channel.freezeTime();
    channel
        .pipeline()
        .addLast(
            new HandshakeHandler(
                    "test", new OptionHaggling("vol", Purpose.USE), receiveBuffer, result)
                .within(Duration.ofSeconds(9), Duration.ofSeconds(10)));
  }

  @AfterEach
  void end() {
    channel.finishAndReleaseAll();
    receiveBuffer.release();
  }

  private void serverSends(byte[] bytes) {
    channel.writeInbound(Unpooled.wrappedBuffer(bytes));
  }

  private static byte[] greeting() {
    return Bytes.of().u64(NbdProtocol.NBDMAGIC).u64(NbdProtocol.IHAVEOPT).u16(3).array();
  }

  private static byte[] reply(int option, int type) {
    return Bytes.of().u64(NbdProtocol.OPTION_REPLY_MAGIC).u32(option).u32(type).u32(0).array();
  }

  private TargetOpenException failureAfterTheDeadline() {
    channel.advanceTimeBy(8999, TimeUnit.MILLISECONDS);
    channel.runScheduledPendingTasks();
    assertFalse(result.isDone());
    assertTrue(channel.isOpen());
    channel.advanceTimeBy(1, TimeUnit.MILLISECONDS);
    channel.runScheduledPendingTasks();
    assertFalse(channel.isOpen());
    return assertInstanceOf(TargetOpenException.class, result.cause());
  }

  @Test
  void noGreeting() {
    TargetOpenException failure = failureAfterTheDeadline();
    assertEquals(Reason.TIMED_OUT, failure.reason());
    assertEquals("the server sent no greeting within 10s", failure.getMessage());
  }

  @Test
  void noAnswerToAnOption() {
    serverSends(greeting());
    serverSends(reply(NbdProtocol.NBD_OPT_EXTENDED_HEADERS, NbdProtocol.NBD_REP_ACK));
    TargetOpenException failure = failureAfterTheDeadline();
    assertEquals(Reason.TIMED_OUT, failure.reason());
    assertEquals("the server did not answer GO within 10s", failure.getMessage());
  }

  @Test
  void noAnswerToAbortDoesNotHideTheReason() {
    serverSends(greeting());
    serverSends(reply(NbdProtocol.NBD_OPT_EXTENDED_HEADERS, NbdProtocol.NBD_REP_ACK));
    serverSends(reply(NbdProtocol.NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_POLICY));
    TargetOpenException failure = failureAfterTheDeadline();
    assertEquals(Reason.REFUSED, failure.reason());
  }
}
