package io.ublkbridge.s3;

import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.nio.NioEventLoopGroup;
import java.util.concurrent.Executor;

/// One of our io_uring event loops in the only clothes that the AWS SDK recognizes: it refuses
/// every group that is not called NIO or epoll. No thread and no selector come with it, and it must
/// never be shut down, since the loop belongs to others.
@SuppressWarnings("deprecation") // The SDK knows no newer one.
final class LoopAsNioGroup extends NioEventLoopGroup {

  /// Carries the loop into the superclass's constructor, which asks for its children before any
  /// field of this class is set.
  private record Carrier(IoEventLoop loop) implements Executor {
    @Override
    public void execute(Runnable command) {
      loop.execute(command);
    }
  }

  LoopAsNioGroup(IoEventLoop loop) {
    super(1, new Carrier(loop));
  }

  @Override
  protected IoEventLoop newChild(Executor executor, IoHandlerFactory factory, Object... args) {
    return ((Carrier) executor).loop();
  }
}
