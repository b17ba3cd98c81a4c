package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// House rules that a compiler cannot check, read from the sources themselves.
final class TidyTest {
  private static final int FILE_LINES_MAX = 500;
  private static final int METHOD_LINES_MAX = 70;
  private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

  /// Something that product code does in one place only.
  private record Ban(String pattern, Set<String> homes, String instead) {}

  private static final List<Ban> BANS =
      List.of(
          new Ban(
              "System\\.(nanoTime|currentTimeMillis)",
              Set.of("Deadline.java"),
              "use the event loop's ticker(), or kernel.Deadline on control threads"),
          new Ban("Thread\\.sleep", Set.of(), "wait with kernel.Deadline; event loops never wait"),
          new Ban(
              "new Random\\(|ThreadLocalRandom|Math\\.random",
              Set.of(),
              "take a RandomGenerator, so that a test can give the seed"),
          new Ban("Executors\\.", Set.of(), "take an executor, or use the event loop"),
          new Ban(
              "System\\.(out|err)", Set.of("Answer.java"), "answers have one home; log the rest"),
          new Ban("FIXME|XXX|TODO", Set.of(), "do it, or file an issue"));

  private static final Pattern METHOD_START =
      Pattern.compile("^  (?! )[^/*@=;]*\\([^;]*\\{$|^  (?! )[^/*@=;]*\\($");

  @Test
  void bannedCallsStandInTheirOneHome() throws IOException {
    List<String> findings = new ArrayList<>();
    for (Path file : sources("main")) {
      List<String> lines = Files.readAllLines(file);
      for (Ban ban : BANS) {
        if (ban.homes().contains(file.getFileName().toString())) {
          continue;
        }
        Pattern pattern = Pattern.compile(ban.pattern());
        for (int i = 0; i < lines.size(); i++) {
          if (pattern.matcher(lines.get(i)).find()) {
            findings.add(ROOT.relativize(file) + ":" + (i + 1) + ": " + ban.instead());
          }
        }
      }
    }
    assertEquals(List.of(), findings);
  }

  @Test
  void noFileIsACity() throws IOException {
    Set<String> cities = new TreeSet<>();
    for (Path file : Stream.concat(sources("main").stream(), sources("test").stream()).toList()) {
      long lines = Files.readAllLines(file).size();
      if (lines > FILE_LINES_MAX) {
        cities.add(ROOT.relativize(file) + ": " + lines + " lines");
      }
    }
    assertEquals(Set.of(), cities);
  }

  @Test
  void noMethodIsLongerThanAScreen() throws IOException {
    List<String> findings = new ArrayList<>();
    for (Path file : sources("main")) {
      List<String> lines = Files.readAllLines(file);
      int start = -1;
      for (int i = 0; i < lines.size(); i++) {
        if (METHOD_START.matcher(lines.get(i)).find()) {
          start = i;
        } else if (lines.get(i).equals("  }") && start >= 0) {
          if (i - start + 1 > METHOD_LINES_MAX) {
            findings.add(ROOT.relativize(file) + ":" + (start + 1) + ": " + (i - start + 1));
          }
          start = -1;
        }
      }
    }
    assertEquals(List.of(), findings);
  }

  private static List<Path> sources(String kind) throws IOException {
    List<Path> sources = new ArrayList<>();
    try (Stream<Path> modules = Files.list(ROOT)) {
      for (Path module : modules.toList()) {
        Path root = module.resolve("src/" + kind + "/java");
        if (Files.isDirectory(root)) {
          try (Stream<Path> files = Files.walk(root)) {
            files.filter(file -> file.toString().endsWith(".java")).forEach(sources::add);
          }
        }
      }
    }
    assertTrue(kind.equals("test") || sources.size() > 20, "the sources are not where they were");
    return sources;
  }
}
