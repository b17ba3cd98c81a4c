package io.ublkbridge.target;

import java.util.List;
import java.util.Optional;

/// A look at what a URI names, without making a disk of it; see [TargetProvider#inspect].
///
/// Called from control threads, may block; belongs to whoever asked for it, until [#close].
public interface Inspection extends AutoCloseable {
  /// The target that the URI names; empty where it names a place that has targets but is none
  /// itself. Belongs to this, and is closed with it; no queue of it is opened.
  Optional<BlockTarget> target();

  /// The targets that are to be had at this place, in its own order, as far as it tells.
  List<Offer> offers();

  /// Tells `map` of every extent of the target, from its start to its end; extents that follow one
  /// another differ in type.
  ///
  /// @throws TargetOpenException if the target cannot tell, or stops telling
  void readMap(ExtentVisitor map) throws TargetOpenException;

  @Override
  void close();

  /// All that there is to see of a target that was opened as for use.
  static Inspection of(BlockTarget target) {
    return new OpenedTarget(target);
  }

  /// Takes a map, extent by extent.
  @FunctionalInterface
  interface ExtentVisitor {
    void extent(Extent extent);
  }
}
