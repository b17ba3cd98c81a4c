package io.ublkbridge.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/// The system calls that Java does not offer; the only downcalls of this program.
///
/// Every call answers as the kernel does: a result of 0 or more, or a negative error number. Any
/// thread may call. Handles are linked on first use, because linking is a large part of start-up.
public final class Posix {
  public static final int O_RDONLY = 0;
  public static final int O_RDWR = 2;
  public static final int O_NONBLOCK = 0x800;
  public static final int O_DIRECT = 0x4000;
  public static final int O_CLOEXEC = 0x80000;

  static final int PROT_READ = 1;
  static final int PROT_WRITE = 2;
  static final int MAP_SHARED = 1;
  static final int MAP_POPULATE = 0x8000;

  private static final int SOCK_STREAM = 1;
  private static final int SOCK_CLOEXEC = O_CLOEXEC;
  private static final int F_SETFL = 4;
  private static final int F_DUPFD_CLOEXEC = 1030;
  private static final int SOL_SOCKET = 1;
  private static final int SO_LINGER = 13;
  private static final int MSG_DONTWAIT = 0x40;
  private static final int MSG_NOSIGNAL = 0x4000;
  private static final int MSG_MORE = 0x8000;
  private static final int MADV_POPULATE_WRITE = 23;
  private static final int PR_SET_IO_FLUSHER = 57;
  private static final int MNT_DETACH = 2;
  private static final int LOCK_EX = 2;
  private static final int LOCK_NB = 4;

  private static final StructLayout CAPTURE = Linker.Option.captureStateLayout();
  private static final long ERRNO = CAPTURE.byteOffset(PathElement.groupElement("errno"));
  private static final ThreadLocal<MemorySegment> CAPTURED =
      ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(CAPTURE));

  private Posix() {}

  /// `open(2)`.
  ///
  /// @return the file descriptor, or a negative error number
  public static int open(String path, int flags) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Open.HANDLE.invokeExact(captured, arena.allocateFrom(path), flags, 0);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `close(2)`.
  public static int close(int fd) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Close.HANDLE.invokeExact(captured, fd);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `pread(2)` into all of `into`.
  ///
  /// @return bytes read, or a negative error number
  public static long pread(int fd, MemorySegment into, long position) {
    try {
      MemorySegment captured = CAPTURED.get();
      long result = (long) Pread.HANDLE.invokeExact(captured, fd, into, into.byteSize(), position);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `pwrite(2)` of all of `from`.
  ///
  /// @return bytes written, or a negative error number
  public static long pwrite(int fd, MemorySegment from, long position) {
    try {
      MemorySegment captured = CAPTURED.get();
      long result = (long) Pwrite.HANDLE.invokeExact(captured, fd, from, from.byteSize(), position);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `socket(2)` and `connect(2)`: a stream that is connected and does not block from then on.
  ///
  /// @param domain one of the `AF_*`
  /// @param address the domain's `struct sockaddr_*`
  /// @return the file descriptor, or a negative error number
  public static int connectedSocket(int domain, MemorySegment address) {
    int fd = streamSocket(domain);
    if (fd < 0) {
      return fd;
    }
    try {
      MemorySegment captured = CAPTURED.get();
      int result =
          (int) Connect.HANDLE.invokeExact(captured, fd, address, (int) address.byteSize());
      if (result == 0) {
        result = (int) Fcntl.HANDLE.invokeExact(captured, fd, F_SETFL, O_NONBLOCK);
      }
      if (result < 0) {
        int error = errno(captured);
        close(fd);
        return error;
      }
      return fd;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `socket(2)`: a stream that is not connected.
  ///
  /// @param domain one of the `AF_*`
  /// @return the file descriptor, or a negative error number
  static int streamSocket(int domain) {
    try {
      MemorySegment captured = CAPTURED.get();
      int fd = (int) Socket.HANDLE.invokeExact(captured, domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
      return fd < 0 ? errno(captured) : fd;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// Another descriptor of the same open file, which outlives the first (`F_DUPFD_CLOEXEC`).
  ///
  /// @return the file descriptor, or a negative error number
  public static int duplicate(int fd) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Fcntl.HANDLE.invokeExact(captured, fd, F_DUPFD_CLOEXEC, 0);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `send(2)` of as much as the socket takes at once; never waits, never raises a signal.
  ///
  /// @param address of `lengthBytes` bytes that the caller keeps alive
  /// @param more whether more is sent right behind, which these bytes may wait for (`MSG_MORE`)
  /// @return bytes sent, or a negative error number, `EAGAIN` if it takes nothing now
  public static long send(int fd, long address, long lengthBytes, boolean more) {
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    try {
      MemorySegment captured = CAPTURED.get();
      long result = (long) Send.HANDLE.invokeExact(captured, fd, address, lengthBytes, flags);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// Whether the socket's connection is reset when it is closed, and what was not sent or read yet
  /// thrown away (`SO_LINGER` of no time). Means nothing to a Unix socket.
  ///
  /// @return 0, or a negative error number
  public static int resetOnClose(int fd, boolean reset) {
    try (Arena arena = Arena.ofConfined()) {
      return setSocketOption(
          fd, SOL_SOCKET, SO_LINGER, arena.allocateFrom(JAVA_INT, reset ? 1 : 0, 0));
    }
  }

  /// `setsockopt(2)`.
  ///
  /// @return 0, or a negative error number
  static int setSocketOption(int fd, int level, int option, MemorySegment value) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result =
          (int)
              SetSockOpt.HANDLE.invokeExact(
                  captured, fd, level, option, value, (int) value.byteSize());
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `recvmsg(2)` of what is there; never waits.
  ///
  /// @param message a `struct msghdr`
  /// @return bytes received, or a negative error number
  static long receiveMessage(int fd, MemorySegment message) {
    try {
      MemorySegment captured = CAPTURED.get();
      long received = (long) RecvMsg.HANDLE.invokeExact(captured, fd, message, MSG_DONTWAIT);
      return received < 0 ? errno(captured) : received;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `sendmsg(2)` of as much as the socket takes at once; never waits, never raises a signal.
  ///
  /// @param message a `struct msghdr`
  /// @return bytes sent, or a negative error number
  static long sendMessage(int fd, MemorySegment message) {
    try {
      MemorySegment captured = CAPTURED.get();
      long sent =
          (long) SendMsg.HANDLE.invokeExact(captured, fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
      return sent < 0 ? errno(captured) : sent;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `prctl(PR_SET_IO_FLUSHER)`: memory that this thread allocates is never reclaimed by writing to
  /// the very disk it serves. Threads and processes started by it inherit this, across exec too.
  public static int setIoFlusher() {
    try {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Prctl.HANDLE.invokeExact(captured, PR_SET_IO_FLUSHER, 1L, 0L, 0L, 0L);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `flock(2)`, exclusively and without waiting: the lock belongs to this open file description,
  /// and goes with it.
  ///
  /// @return 0, or a negative error number: `EAGAIN` if somebody else has it
  public static int tryLock(int fd) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Flock.HANDLE.invokeExact(captured, fd, LOCK_EX | LOCK_NB);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `fallocate(2)`: the range has room on the disk from now on, and is part of the file.
  public static int allocate(int fd, long position, long lengthBytes) {
    return fallocate(fd, 0, position, lengthBytes);
  }

  /// `fallocate(2)`.
  static int fallocate(int fd, int mode, long position, long lengthBytes) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Fallocate.HANDLE.invokeExact(captured, fd, mode, position, lengthBytes);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `umount2(2)` with `MNT_DETACH`: takes a mount out of this process's mount namespace; files
  /// that are open on it stay usable.
  public static int detachMount(String mountPoint) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment captured = CAPTURED.get();
      int result =
          (int) Umount.HANDLE.invokeExact(captured, arena.allocateFrom(mountPoint), MNT_DETACH);
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `madvise(2)` with `MADV_POPULATE_WRITE`: every page of a writable range gets memory now, and
  /// keeps what it holds. Takes Linux 5.14.
  ///
  /// @param address where it begins, page-aligned
  /// @return 0 or a negative error number
  public static int populate(long address, long lengthBytes) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result =
          (int) Madvise.HANDLE.invokeExact(captured, address, lengthBytes, MADV_POPULATE_WRITE);
      return result < 0 ? errno(captured) : 0;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `mmap(2)`; the kernel picks the address.
  ///
  /// @return the mapping, to be given to [#munmap] exactly once after its last use
  /// @throws UblkException if it cannot be mapped
  @SuppressWarnings("restricted") // The kernel says how long the mapping is: as long as asked.
  static MemorySegment mmap(int fd, long lengthBytes, int protection, long offset) {
    try {
      MemorySegment captured = CAPTURED.get();
      MemorySegment mapped =
          (MemorySegment)
              Mmap.HANDLE.invokeExact(
                  captured,
                  MemorySegment.NULL,
                  lengthBytes,
                  protection,
                  MAP_SHARED | MAP_POPULATE,
                  fd,
                  offset);
      if (mapped.address() == -1L) {
        throw new UblkException("mmap of " + lengthBytes + " bytes", -errno(captured));
      }
      return mapped.reinterpret(lengthBytes);
    } catch (UblkException e) {
      throw e;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `munmap(2)` of a whole mapping.
  static int munmap(MemorySegment mapping) {
    try {
      MemorySegment captured = CAPTURED.get();
      int result = (int) Munmap.HANDLE.invokeExact(captured, mapping, mapping.byteSize());
      return result < 0 ? errno(captured) : result;
    } catch (Throwable e) {
      throw impossible(e);
    }
  }

  /// `io_uring_setup(2)`.
  ///
  /// @return the ring's file descriptor, or a negative error number
  static int ioUringSetup(int entries, MemorySegment params) {
    return (int) Syscall.call(Syscall.IO_URING_SETUP, entries, params.address(), 0, 0);
  }

  /// `io_uring_enter(2)` without a signal mask.
  static int ioUringEnter(int fd, int toSubmit, int minComplete, int flags) {
    return (int) Syscall.call(Syscall.IO_URING_ENTER, fd, toSubmit, minComplete, flags);
  }

  /// `io_uring_register(2)`.
  ///
  /// @return 0 or more, or a negative error number
  static int ioUringRegister(int fd, int opcode, MemorySegment argument, int count) {
    return (int) Syscall.call(Syscall.IO_URING_REGISTER, fd, opcode, argument.address(), count);
  }

  private static int errno(MemorySegment captured) {
    return -captured.get(JAVA_INT, ERRNO);
  }

  private static AssertionError impossible(Throwable e) {
    return new AssertionError("a downcall threw", e);
  }

  @SuppressWarnings("restricted") // The signatures below are those of the man pages.
  private static MethodHandle link(
      String function, MemoryLayout result, Linker.Option[] options, MemoryLayout... arguments) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().findOrThrow(function),
        FunctionDescriptor.of(result, arguments),
        options);
  }

  private static MethodHandle link(
      String function, MemoryLayout result, MemoryLayout... arguments) {
    return link(
        function, result, new Linker.Option[] {Linker.Option.captureCallState("errno")}, arguments);
  }

  private static MethodHandle linkVariadic(
      String function, int fixed, MemoryLayout result, MemoryLayout... arguments) {
    return link(
        function,
        result,
        new Linker.Option[] {
          Linker.Option.captureCallState("errno"), Linker.Option.firstVariadicArg(fixed)
        },
        arguments);
  }

  private static final class Open {
    static final MethodHandle HANDLE =
        linkVariadic("open", 2, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
  }

  private static final class Close {
    static final MethodHandle HANDLE = link("close", JAVA_INT, JAVA_INT);
  }

  private static final class Pread {
    static final MethodHandle HANDLE =
        link("pread64", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG);
  }

  private static final class Pwrite {
    static final MethodHandle HANDLE =
        link("pwrite64", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG);
  }

  private static final class Socket {
    static final MethodHandle HANDLE = link("socket", JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT);
  }

  private static final class Connect {
    static final MethodHandle HANDLE = link("connect", JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT);
  }

  private static final class Fcntl {
    static final MethodHandle HANDLE =
        linkVariadic("fcntl", 2, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT);
  }

  /// The buffer is passed as an address, so that no segment is made for it on each call.
  private static final class Send {
    static final MethodHandle HANDLE =
        link("send", JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
  }

  private static final class SetSockOpt {
    static final MethodHandle HANDLE =
        link("setsockopt", JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT);
  }

  private static final class RecvMsg {
    static final MethodHandle HANDLE = link("recvmsg", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_INT);
  }

  private static final class SendMsg {
    static final MethodHandle HANDLE = link("sendmsg", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_INT);
  }

  private static final class Prctl {
    static final MethodHandle HANDLE =
        linkVariadic("prctl", 1, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  }

  private static final class Flock {
    static final MethodHandle HANDLE = link("flock", JAVA_INT, JAVA_INT, JAVA_INT);
  }

  private static final class Fallocate {
    static final MethodHandle HANDLE =
        link("fallocate64", JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
  }

  private static final class Umount {
    static final MethodHandle HANDLE = link("umount2", JAVA_INT, ADDRESS, JAVA_INT);
  }

  private static final class Mmap {
    static final MethodHandle HANDLE =
        link("mmap", ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
  }

  private static final class Madvise {
    static final MethodHandle HANDLE = link("madvise", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
  }

  private static final class Munmap {
    static final MethodHandle HANDLE = link("munmap", JAVA_INT, ADDRESS, JAVA_LONG);
  }

  /// `syscall(2)`, for the calls that the C library does not wrap. Numbers of x86-64 and AArch64,
  /// which agree for io_uring.
  private static final class Syscall {
    static final long IO_URING_SETUP = 425;
    static final long IO_URING_ENTER = 426;
    static final long IO_URING_REGISTER = 427;

    private static final ValueLayout.OfLong WORD = JAVA_LONG;
    private static final MethodHandle HANDLE =
        linkVariadic("syscall", 1, WORD, WORD, WORD, WORD, WORD, WORD, WORD, WORD);

    static long call(long number, long a, long b, long c, long d) {
      try {
        MemorySegment captured = CAPTURED.get();
        long result = (long) HANDLE.invokeExact(captured, number, a, b, c, d, 0L, 0L);
        return result < 0 ? errno(captured) : result;
      } catch (Throwable e) {
        throw impossible(e);
      }
    }
  }
}
