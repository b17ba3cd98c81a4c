package io.ublkbridge.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/// The content of `/proc/PID/mountinfo`, see `proc_pid_mountinfo(5)`.
final class MountTable {
  private static final Pattern ESCAPE = Pattern.compile("\\\\([0-7]{3})");
  private static final int DEVICE = 2;
  private static final int MOUNT_POINT = 4;

  private MountTable() {}

  /// One mount.
  ///
  /// @param device `major:minor` of what is mounted; made up by some file systems
  /// @param source what was given to mount, such as `/dev/ublkb0p1`
  record Mount(String device, String mountPoint, String source) {}

  /// The mounts in the table's order; lines that are not understood are skipped.
  static List<Mount> parse(String table) {
    List<Mount> mounts = new ArrayList<>();
    for (String line : table.split("\n", -1)) {
      int optional = line.indexOf(" - ");
      if (optional < 0) {
        continue;
      }
      String[] head = line.substring(0, optional).split(" ", -1);
      String[] tail = line.substring(optional + 3).split(" ", -1);
      if (head.length > MOUNT_POINT && tail.length >= 2) {
        mounts.add(new Mount(head[DEVICE], unescape(head[MOUNT_POINT]), unescape(tail[1])));
      }
    }
    return mounts;
  }

  private static String unescape(String text) {
    return ESCAPE.matcher(text).replaceAll(MountTable::character);
  }

  private static String character(MatchResult escape) {
    char character = (char) Integer.parseInt(escape.group(1), 8);
    return character == '\\' ? "\\\\" : String.valueOf(character);
  }
}
