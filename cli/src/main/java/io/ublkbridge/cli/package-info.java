/// The `ublk-bridge` command: wires the core and the targets to a command line, and is the process
/// that serves a device. The verbs are thin classes of options; what they do has its own names.
@NullMarked
package io.ublkbridge.cli;

import org.jspecify.annotations.NullMarked;
