/// The target contract: what a place that stores blocks must offer, and what it is asked for.
///
/// This package depends on nothing of ours. A target (NBD export, local file, object) implements
/// [io.ublkbridge.target.TargetProvider], [io.ublkbridge.target.BlockTarget] and
/// [io.ublkbridge.target.TargetQueue]; whoever wants I/O implements
/// [io.ublkbridge.target.BlockRequest]. Everything is in bytes; sectors never appear here.
@NullMarked
package io.ublkbridge.target;

import org.jspecify.annotations.NullMarked;
