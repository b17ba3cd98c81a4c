package io.ublkbridge.s3;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpDecoderConfig;

/// Has the AWS SDK take as much of an answer at once as was read from the connection.
///
/// Its HTTP codec cuts bodies into pieces of 8 KiB, and offers no choice; each of them travels
/// through the whole pipeline, is copied and is published by itself. Before the connection is made,
/// when the SDK has set its pipeline up, its codec gives way to one that cuts at what Netty reads
/// at once at most. One for each connection, on its event loop.
final class WholeReads extends ChannelInboundHandlerAdapter {
  static final int READ_BYTES_MAX = 64 << 10;

  @Override
  public void channelRegistered(ChannelHandlerContext context) {
    ChannelPipeline pipeline = context.pipeline();
    if (pipeline.get(HttpClientCodec.class) != null) {
      HttpDecoderConfig config = new HttpDecoderConfig().setMaxChunkSize(READ_BYTES_MAX);
      pipeline.replace(HttpClientCodec.class, null, new HttpClientCodec(config, false, false));
    }
    pipeline.remove(this);
    context.fireChannelRegistered();
  }
}
