package io.ublkbridge.nbd;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.VsockSocket;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.net.SocketAddress;

/// A port of a virtual machine or its host, and how to get there: Netty cannot.
final class VsockAddress extends SocketAddress {
  private static final long serialVersionUID = 1L;

  private final transient NbdEndpoint.Vsock endpoint;

  VsockAddress(NbdEndpoint.Vsock endpoint) {
    this.endpoint = endpoint;
  }

  /// Connects. Blocks, for two seconds at most.
  ///
  /// @return a file descriptor that belongs to the caller
  int connect() throws TargetOpenException {
    int fd = VsockSocket.connect((int) endpoint.cid(), (int) endpoint.port());
    if (fd >= 0) {
      return fd;
    }
    throw switch (-fd) {
      // What is not listened on is reset by one kind of hypervisor, refused by another.
      case Errno.ECONNRESET, Errno.ECONNREFUSED ->
          new TargetOpenException(Reason.UNREACHABLE, "connection refused", NbdDialer.REMEDY);
      case Errno.ETIMEDOUT ->
          new TargetOpenException(
              Reason.TIMED_OUT, "no answer within the kernel's 2s", NbdDialer.REMEDY);
      case Errno.EAFNOSUPPORT, Errno.ENODEV, Errno.ENETUNREACH ->
          new TargetOpenException(
              Reason.UNREACHABLE,
              "this machine has no vsock that leads to CID " + endpoint.cid(),
              "modprobe vsock_loopback (CID 1), vhost_vsock (to guests), or give the virtual"
                  + " machine a vsock device (CID 2)");
      default ->
          new TargetOpenException(
              Reason.UNREACHABLE, "cannot connect: " + Errno.describe(-fd), NbdDialer.REMEDY);
    };
  }
}
