/// Layouts against the C header, encodings, and the few system calls.
@NullMarked
package io.ublkbridge.kernel;

import org.jspecify.annotations.NullMarked;
