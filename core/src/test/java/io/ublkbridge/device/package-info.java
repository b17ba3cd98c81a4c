/// What the kernel is told about a target.
@NullMarked
package io.ublkbridge.device;

import org.jspecify.annotations.NullMarked;
