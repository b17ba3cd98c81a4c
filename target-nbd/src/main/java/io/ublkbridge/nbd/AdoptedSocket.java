package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.uring.IoUringDomainSocketChannel;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/// Makes an io_uring channel of a stream socket that is connected already, whatever its family.
///
/// Netty does this for the connections that it accepts, by a constructor which is not public. Once
/// connected, nothing in its domain socket channel depends on the family but the addresses, which
/// nobody asks for. A version of Netty without that constructor fails here, and in a test.
final class AdoptedSocket {
  private AdoptedSocket() {}

  /// Linked on first use.
  private static final class Constructor {
    static final MethodHandle HANDLE;

    static {
      try {
        HANDLE =
            MethodHandles.privateLookupIn(IoUringDomainSocketChannel.class, MethodHandles.lookup())
                .findConstructor(
                    IoUringDomainSocketChannel.class,
                    MethodType.methodType(void.class, Channel.class, FileDescriptor.class))
                .asType(MethodType.methodType(Channel.class, Channel.class, FileDescriptor.class));
      } catch (ReflectiveOperationException e) {
        throw new LinkageError("this version of Netty adopts no sockets", e);
      }
    }
  }

  /// @param fd does not block; the channel closes it
  static Channel channel(int fd) {
    try {
      return (Channel) Constructor.HANDLE.invokeExact(noParent(), new FileDescriptor(fd));
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("the constructor declares no exception", e);
    }
  }

  @SuppressWarnings("NullAway") // Netty's word for a channel that nobody accepted.
  private static Channel noParent() {
    return null;
  }
}
