package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// Connections between a virtual machine and its host (`vsock(7)`), which Java does not offer.
/// Addresses are a `struct sockaddr_vm`, 16 bytes.
public final class VsockSocket {
  static final StructLayout ADDRESS =
      MemoryLayout.structLayout(
              JAVA_SHORT.withName("svm_family"),
              JAVA_SHORT.withName("svm_reserved1"),
              JAVA_INT.withName("svm_port"),
              JAVA_INT.withName("svm_cid"),
              JAVA_BYTE.withName("svm_flags"),
              MemoryLayout.sequenceLayout(3, JAVA_BYTE).withName("svm_zero"))
          .withName("sockaddr_vm");

  private static final int AF_VSOCK = 40;
  private static final long FAMILY = ADDRESS.byteOffset(groupElement("svm_family"));
  private static final long PORT = ADDRESS.byteOffset(groupElement("svm_port"));
  private static final long CID = ADDRESS.byteOffset(groupElement("svm_cid"));

  private VsockSocket() {}

  /// Connects a stream socket. Blocks; the kernel gives up after two seconds.
  ///
  /// @param cid the machine, unsigned: 1 is this one, 2 the host of this one
  /// @param port unsigned
  /// @return a file descriptor that does not block, owned by the caller, or a negative error number
  public static int connect(int cid, int port) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment address = arena.allocate(ADDRESS);
      address.set(JAVA_SHORT, FAMILY, (short) AF_VSOCK);
      address.set(JAVA_INT, PORT, port);
      address.set(JAVA_INT, CID, cid);
      return Posix.connectedSocket(AF_VSOCK, address);
    }
  }
}
