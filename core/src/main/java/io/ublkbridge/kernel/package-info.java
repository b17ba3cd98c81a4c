/// The kernel interface: ublk's structs and commands, and the few system calls that Java lacks.
///
/// Everything rests on `include/uapi/linux/ublk_cmd.h`, `linux/io_uring.h` and the man pages. One
/// class per C struct; [io.ublkbridge.kernel.UblkAbi] holds the constants under their C names;
/// [io.ublkbridge.kernel.Posix] is the only place that calls native code. 512-byte sectors never
/// leave this package.
@NullMarked
package io.ublkbridge.kernel;

import org.jspecify.annotations.NullMarked;
