package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

final class WholeReadsTest {
  private static final int BODY_BYTES = 64 << 10;

  @Test
  void whatWasReadAtOnceIsOnePiece() {
    EmbeddedChannel connection = new EmbeddedChannel();
    connection.pipeline().addLast(new WholeReads(), new HttpClientCodec());
    connection.pipeline().fireChannelRegistered();

    String head = "HTTP/1.1 200 OK\r\nContent-Length: " + BODY_BYTES + "\r\n\r\n";
    connection.writeInbound(Unpooled.copiedBuffer(head, StandardCharsets.US_ASCII));
    connection.writeInbound(Unpooled.wrappedBuffer(new byte[BODY_BYTES]));

    HttpResponse response = connection.readInbound();
    assertEquals(200, response.status().code());
    HttpContent body = connection.readInbound();
    assertEquals(BODY_BYTES, body.content().readableBytes());
    body.release();
    assertNull(connection.pipeline().get(WholeReads.class), "it has nothing left to do");
    connection.finishAndReleaseAll();
  }
}
