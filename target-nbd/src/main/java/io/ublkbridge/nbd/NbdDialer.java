package io.ublkbridge.nbd;

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.ConnectTimeoutException;
import io.netty.channel.IoEventLoop;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.UnixChannel;
import io.netty.channel.uring.IoUringChannelOption;
import io.netty.channel.uring.IoUringDomainSocketChannel;
import io.netty.channel.uring.IoUringSocketChannel;
import io.netty.util.concurrent.Promise;
import io.ublkbridge.target.Durations;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NoRouteToHostException;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/// Makes connections to one export: resolves, connects, shakes hands.
///
/// Blocks, so it is for control threads only; what it makes belongs to the event loop that it was
/// made on. Keys and certificates are read for each connection anew, and so are addresses.
///
/// @param timeout for one connection, from resolving to the end of the handshake
@SuppressWarnings("FutureReturnValueIgnored") // What is ignored is the closing of what failed.
record NbdDialer(NbdUri uri, Duration timeout) {
  static final String REMEDY = "is the NBD server running and reachable?";

  private static final int KEEPALIVE_SECONDS = 10;

  /// How long sent data may stay unacknowledged by the other host before it counts as gone.
  private static final int USER_TIMEOUT_MILLIS = 30_000;

  /// Longer than every deadline that a connection attempt has of its own.
  private static final Duration GRACE = Duration.ofSeconds(5);

  /// What a connection is for, and the TLS that it has to use.
  record Wish(Purpose purpose, @Nullable TlsClient tls) {}

  /// The same with another timeout, if that is shorter.
  NbdDialer within(Duration limit) {
    return limit.compareTo(timeout) < 0 ? new NbdDialer(uri, limit) : this;
  }

  /// Makes a connection that is ready for requests.
  NbdConnection dial(IoEventLoop loop, Purpose purpose) throws TargetOpenException {
    try (TlsClient tls = TlsClient.load(uri, timeout)) {
      return dial(loop, new Wish(purpose, tls));
    }
  }

  /// Makes a connection, by the TLS that it is given.
  NbdConnection dial(IoEventLoop loop, Wish wish) throws TargetOpenException {
    long startNanos = loop.ticker().nanoTime();
    List<SocketAddress> addresses = addresses();
    TargetOpenException failure = null;
    for (int i = 0; i < addresses.size(); i++) {
      Duration left = timeout.minusNanos(loop.ticker().nanoTime() - startNanos);
      Duration share = left.dividedBy(addresses.size() - i);
      if (!share.isPositive()) {
        break;
      }
      try {
        return shakeHands(loop, connected(loop, addresses.get(i), share), wish, share);
      } catch (ConnectFailure e) {
        // The name may stand for several addresses, not all of them in use: try the next.
        failure = connectFailure(e.why());
      }
    }
    throw failure != null ? failure : noAnswer(null);
  }

  /// That nobody is to be had at an address.
  private static final class ConnectFailure extends Exception {
    private static final long serialVersionUID = 1L;

    ConnectFailure(Throwable why) {
      super(why);
    }

    Throwable why() {
      return Objects.requireNonNull(getCause());
    }
  }

  private RingSocketChannel connected(IoEventLoop loop, SocketAddress address, Duration limit)
      throws ConnectFailure, TargetOpenException {
    if (address instanceof VsockAddress vsock) {
      return new RingSocketChannel(vsock.connect(), new ReceiveBuffer());
    }
    if (loop.isShuttingDown()) {
      // Detached while TLS was being set up. Netty would log that nobody can be told any more.
      throw new TargetOpenException(Reason.FAILED, "the disk is being detached", null);
    }
    Promise<RingSocketChannel> taken = loop.newPromise();
    ChannelFuture connecting = connect(loop, address, limit);
    connecting.addListener(_ -> {
      if (!connecting.isSuccess()) {
        taken.tryFailure(connecting.cause());
        return;
      }
      try {
        RingSocketChannel socket =
            RingSocketChannel.takeOver((UnixChannel) connecting.channel(), new ReceiveBuffer());
        if (!taken.trySuccess(socket)) {
          socket.unsafe().closeForcibly();
        }
      } catch (IOException e) {
        taken.tryFailure(e);
      }
    });
    try {
      // The attempt has a deadline of its own.
      return taken.get(limit.plus(GRACE).toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      throw new ConnectFailure(Objects.requireNonNull(e.getCause()));
    } catch (TimeoutException | InterruptedException e) {
      taken.cancel(false);
      connecting.channel().close();
      if (e instanceof InterruptedException) {
        throw interrupted(e);
      }
      throw new ConnectFailure(new ConnectTimeoutException());
    }
  }

  /// Has Netty connect; its channel reads nothing.
  private static ChannelFuture connect(IoEventLoop loop, SocketAddress address, Duration limit) {
    Bootstrap bootstrap =
        new Bootstrap()
            .group(loop)
            .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) Math.max(1, limit.toMillis()))
            .option(ChannelOption.AUTO_READ, false)
            .handler(new ChannelInboundHandlerAdapter());
    if (address instanceof DomainSocketAddress) {
      return bootstrap.channel(IoUringDomainSocketChannel.class).connect(address);
    }
    return bootstrap
        .option(ChannelOption.TCP_NODELAY, true)
        .option(ChannelOption.SO_KEEPALIVE, true)
        .option(IoUringChannelOption.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        .option(IoUringChannelOption.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
        .option(IoUringChannelOption.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLIS)
        .channel(IoUringSocketChannel.class)
        .connect(address);
  }

  private NbdConnection shakeHands(
      IoEventLoop loop, RingSocketChannel channel, Wish wish, Duration limit)
      throws TargetOpenException {
    Promise<NbdConnection> handshake = loop.newPromise();
    OptionHaggling haggling = new OptionHaggling(uri.exportName(), wish.purpose());
    channel
        .pipeline()
        .addLast(
            new HandshakeHandler(
                    uri.endpoint().toString(), haggling, channel.receiveBuffer(), handshake)
                .securedBy(wish.tls())
                .within(limit, timeout));
    channel
        .register(loop)
        .addListener(registered -> {
          if (!registered.isSuccess()) {
            handshake.tryFailure(registered.cause());
          }
        });
    try {
      return handshake.get(timeout.plus(GRACE).toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof TargetOpenException failure) {
        // It may still be telling the server why; then its loop must not end.
        channel.closeFuture().awaitUninterruptibly(GRACE.toMillis());
        throw failure;
      }
      throw interrupted(e);
    } catch (InterruptedException | TimeoutException e) {
      channel.close();
      throw interrupted(e);
    }
  }

  private List<SocketAddress> addresses() throws TargetOpenException {
    return switch (uri.endpoint()) {
      case NbdEndpoint.Vsock vsock -> List.of(new VsockAddress(vsock));
      case NbdEndpoint.Unix(String path) -> List.of(new DomainSocketAddress(path));
      case NbdEndpoint.Tcp(String host, int port) -> {
        List<SocketAddress> addresses = new ArrayList<>();
        for (InetAddress address : resolve(host)) {
          addresses.add(new InetSocketAddress(address, port));
        }
        yield addresses;
      }
    };
  }

  /// The resolver has no deadline of its own, so it gets a thread that can be left behind.
  private InetAddress[] resolve(String host) throws TargetOpenException {
    FutureTask<InetAddress[]> lookUp = new FutureTask<>(() -> InetAddress.getAllByName(host));
    Thread.ofPlatform().daemon().name("nbd-resolve").start(lookUp);
    try {
      return lookUp.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw new TargetOpenException(
          Reason.TIMED_OUT,
          "the address of host '" + host + "' was not found within " + Durations.format(timeout),
          "does name resolution work here?",
          e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof UnknownHostException) {
        throw new TargetOpenException(
            Reason.UNREACHABLE,
            "host '" + host + "' is not known",
            "check its name, or write its address",
            e);
      }
      throw interrupted(e);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  private TargetOpenException noAnswer(@Nullable Throwable cause) {
    return new TargetOpenException(
        Reason.TIMED_OUT, "no answer within " + Durations.format(timeout), REMEDY, cause);
  }

  private TargetOpenException connectFailure(Throwable cause) {
    String message = String.valueOf(cause.getMessage());
    return switch (cause) {
      case ConnectTimeoutException e -> noAnswer(e);
      case FileNotFoundException e ->
          new TargetOpenException(Reason.UNREACHABLE, "there is no such socket", REMEDY, e);
      case NoRouteToHostException e ->
          new TargetOpenException(Reason.UNREACHABLE, "there is no route to the host", REMEDY, e);
      case ConnectException e ->
          new TargetOpenException(Reason.UNREACHABLE, "connection refused", REMEDY, e);
      default ->
          message.contains("Permission denied")
              ? new TargetOpenException(
                  Reason.FAILED,
                  "permission to use the socket is denied",
                  "run as a user who may use it",
                  cause)
              : new TargetOpenException(
                  Reason.UNREACHABLE, "cannot connect: " + message, REMEDY, cause);
    };
  }

  /// What is thrown when waiting itself went wrong.
  static TargetOpenException interrupted(Exception cause) {
    if (cause instanceof InterruptedException) {
      Thread.currentThread().interrupt();
      return new TargetOpenException(Reason.FAILED, "interrupted while connecting", null, cause);
    }
    return new TargetOpenException(Reason.FAILED, "cannot connect: " + cause, null, cause);
  }
}
