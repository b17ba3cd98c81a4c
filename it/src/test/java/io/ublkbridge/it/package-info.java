/// Device and interop tests: the built command on a real ublk kernel, against real servers.
///
/// Run by `it/device-tests` on this host where it has ublk, in the VM lab where it has not. Every
/// test starts from nothing and leaves nothing: no device, process or file.
@NullMarked
package io.ublkbridge.it;

import org.jspecify.annotations.NullMarked;
