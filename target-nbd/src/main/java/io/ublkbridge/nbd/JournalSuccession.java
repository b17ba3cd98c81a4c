package io.ublkbridge.nbd;

import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What becomes of write journals when one process goes on with the disk of another: the old one is
/// done again, and only then makes way for the new one, which begins empty.
///
/// ```
/// 3.journal of the dead → done again, flushed → it says so → 3.journal.new becomes 3.journal
/// ```
///
/// Until the last step nothing new was acknowledged, so whoever is killed on the way leaves all
/// that the next one needs; and from the last but one on nothing is done a second time over what is
/// new.
final class JournalSuccession {
  private static final Logger LOG = LoggerFactory.getLogger(JournalSuccession.class);

  private JournalSuccession() {}

  /// Has `journal` take its place in a file, and what another process has left in one done again.
  /// For control threads, before there are queues.
  ///
  /// @param identity of the export
  /// @param slotsAtOnce how many slots of each queue must have room
  /// @return the file, or null if there is none
  /// @throws TargetOpenException if what another process has left cannot be read by this one, or
  ///   now
  static @Nullable JournalFile begin(
      SuccessionFile where,
      WriteJournal journal,
      Reconnector reconnector,
      String identity,
      JournalLayout layout,
      int slotsAtOnce)
      throws TargetOpenException {
    Path path = where.path();
    InheritedJournal old = where.inherited() ? InheritedJournal.open(path, identity) : null;
    String loss = old == null ? null : old.loss();
    if (old != null && loss != null) {
      // The first flush, on behalf of the dead process, fails by it.
      LOG.error("NBD: {}", loss);
      journal.lost(loss);
      old.close();
      return null;
    }
    JournalFile made = create(path, layout, identity, slotsAtOnce);
    if (made != null) {
      journal.keepMarksIn(made.marks());
    }
    if (old == null || old.unflushed().isEmpty()) {
      replace(old, made, path);
    } else {
      journal.continueFrom(old.latest());
      reconnector.inherit(old.unflushed(), () -> replace(old, made, path));
    }
    return made;
  }

  private static Path draft(Path path) {
    return path.resolveSibling(path.getFileName() + ".new");
  }

  private static @Nullable JournalFile create(
      Path path, JournalLayout layout, String identity, int slotsAtOnce) {
    try {
      Files.deleteIfExists(draft(path));
      return JournalFile.create(draft(path), layout, identity, slotsAtOnce);
    } catch (IOException e) {
      LOG.warn(
          "NBD: the write journal ends with this process ({}): if it and the NBD server crash"
              + " together, writes that were not flushed are lost",
          e.getMessage());
      return null;
    }
  }

  /// @param old all of which is durable, or null
  private static void replace(
      @Nullable InheritedJournal old, @Nullable JournalFile made, Path path) {
    if (old != null) {
      old.forget();
      old.close();
    }
    try {
      if (made != null) {
        Files.move(draft(path), path, StandardCopyOption.ATOMIC_MOVE);
      } else if (old == null) {
        Files.deleteIfExists(path);
      }
    } catch (IOException e) {
      LOG.error("NBD: the write journal has no name, and so ends with this process", e);
    }
  }
}
