/// Targets on this machine: `null:SIZE`, `memory:SIZE` and `file:PATH`.
@NullMarked
package io.ublkbridge.loop;

import org.jspecify.annotations.NullMarked;
