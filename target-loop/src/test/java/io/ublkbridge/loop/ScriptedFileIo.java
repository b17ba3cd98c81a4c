package io.ublkbridge.loop;

import io.ublkbridge.kernel.RingFile;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/// File I/O that answers what a test says, one step at a time, and moves no bytes.
final class ScriptedFileIo implements FileIo {
  private final ArrayDeque<LoopSlot> underWay = new ArrayDeque<>();
  private final List<String> steps = new ArrayList<>();
  private RingFile.Completions completions = (index, result) -> {};
  private boolean quiet = true;

  void deliverTo(RingFile.Completions completions) {
    this.completions = completions;
  }

  @Override
  public void start(LoopSlot slot) {
    underWay.add(slot);
    steps.add(
        slot.stage() == LoopStage.SYNC
            ? "SYNC"
            : slot.stage().transfers()
                ? slot.stage()
                    + " "
                    + slot.positionBytes()
                    + "+"
                    + slot.transferBytes()
                    + (slot.inPlace()
                        ? " at " + slot.doneBytes() + " in " + slot.payloadBuffer()
                        : "")
                : slot.stage() + " " + slot.positionBytes() + "+" + slot.remainingBytes());
  }

  /// Ends the step that has been under way longest.
  void answer(int result) {
    completions.completed(underWay.remove().index(), result);
  }

  /// What was started since the last call, in order.
  List<String> takeSteps() {
    List<String> taken = List.copyOf(steps);
    steps.clear();
    return taken;
  }

  void neverQuiet() {
    quiet = false;
  }

  @Override
  public boolean close() {
    return quiet;
  }
}
