package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.KernelTls;
import io.ublkbridge.target.Durations;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Everything for making one connection secure, with keys and certificates that were just read:
/// each attempt to connect has its own, so that renewed files count from the next one on.
///
/// The handlers tell how the TLS handshake ended by a
/// [io.netty.handler.ssl.SslHandshakeCompletionEvent], and that the server has taken leave by a
/// [io.netty.handler.ssl.SslCloseCompletionEvent].
sealed interface TlsClient extends AutoCloseable permits X509Tls, PskTls {
  /// Reads what the URI names, for control threads only. The files may lie on a disk that does not
  /// answer, so they are read by a thread that can be left behind.
  ///
  /// @return null if the URI asks for no TLS
  static @Nullable TlsClient load(NbdUri uri, Duration limit) throws TargetOpenException {
    if (uri.tls().isEmpty()) {
      return null;
    }
    TlsSettings settings = uri.tls().get();
    FutureTask<TlsClient> reading = new FutureTask<>(() -> read(settings, uri.endpoint()));
    Thread.ofPlatform().daemon().name("nbd-tls-files").start(reading);
    try {
      return reading.get(limit.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw new TargetOpenException(
          Reason.TIMED_OUT,
          "the files of keys and certificates were not read within " + Durations.format(limit),
          "do not keep them on this disk, or on another that may hang",
          e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof TargetOpenException failure) {
        throw failure;
      }
      throw NbdDialer.interrupted(e);
    } catch (InterruptedException e) {
      throw NbdDialer.interrupted(e);
    }
  }

  private static TlsClient read(TlsSettings settings, NbdEndpoint endpoint)
      throws TargetOpenException {
    boolean inKernel =
        settings.recordsInKernel() && endpoint instanceof NbdEndpoint.Tcp && KernelSide.AVAILABLE;
    return switch (settings.mode()) {
      case X509 -> X509Tls.load(settings, settings.peerName(endpoint), inKernel);
      case PSK -> PskTls.load(settings, inKernel);
    };
  }

  /// Whether this kernel has TLS; found out, and said, once.
  final class KernelSide {
    private static final Logger LOG = LoggerFactory.getLogger(KernelSide.class);
    static final boolean AVAILABLE = ask();

    private KernelSide() {}

    private static boolean ask() {
      int result = KernelTls.availability();
      if (result < 0) {
        LOG.info(
            "TLS records are made by this process: the kernel does not, {} (modprobe tls)",
            Errno.describe(-result));
      }
      return result == 0;
    }
  }

  /// A handler that begins the TLS handshake as soon as it is in the channel's pipeline. To be
  /// called on the channel's event loop.
  ChannelHandler newHandler(Channel channel);

  /// What was agreed on, once the handshake has succeeded.
  ///
  /// @param handler one that [#newHandler] has made
  TlsFacts facts(ChannelHandler handler);

  /// What protects the session's records, if they may be left to the kernel. To be asked for once,
  /// right after the handshake and before anything else was sent.
  ///
  /// @param handler one that [#newHandler] has made
  /// @return null if they may not, or this implementation does not tell
  @Nullable RecordKeys recordKeys(ChannelHandler handler) throws IOException;

  /// What to tell people about a failure.
  ///
  /// @param handshaking whether it came before the TLS handshake had ended
  TargetOpenException failure(Throwable cause, boolean handshaking);

  /// What to tell people when the server hangs up without a word. With TLS 1.3 that may come after
  /// the handshake has succeeded on our side: only then the server has looked at who we are.
  TargetOpenException hungUp(boolean handshaking, @Nullable Throwable cause);

  /// Makes no more handlers; those that are in use live on.
  @Override
  void close();
}
