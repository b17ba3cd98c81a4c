package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ManPageTest {
  private static final Pattern OPTION = Pattern.compile("(?<![\\w-])--?[a-z][a-z-]*");

  @TempDir Path root;

  private static Set<String> options(String text) {
    return new TreeSet<>(OPTION.matcher(text).results().map(MatchResult::group).toList());
  }

  /// The part of the page that is about one verb, as it is read.
  private static String section(String verb) {
    String page = ManPage.text();
    int start = page.indexOf(".SS " + verb + "\n");
    assertTrue(start > 0, verb);
    int end = page.indexOf("\n.S", start + 1);
    return read(page.substring(start, end));
  }

  private static String read(String roff) {
    return roff.replace("\\-", "-").replaceAll("\\\\f[BIR]", "").replace("\\e", "\\");
  }

  @ParameterizedTest
  @ValueSource(strings = {"attach", "detach", "list", "status", "info", "doctor", "demo"})
  void everyVerbHasAllOptionsOfItsHelp(String verb) {
    String help = CommandLineRun.of(new Host(root), verb, "--help").out();
    Set<String> expected = options(help);
    expected.removeAll(Set.of("-h", "--help", "--verbose"));
    assertEquals(expected, options(section(verb)));
  }

  @Test
  void everyVerbOfTheHelpIsThere() {
    String help = CommandLineRun.of(new Host(root), "--help").out();
    String commands = help.substring(help.indexOf("Commands:"), help.indexOf("Examples:"));
    List<String> verbs =
        Pattern.compile("(?m)^  ([a-z]+) ")
            .matcher(commands)
            .results()
            .map(m -> m.group(1))
            .toList();
    assertTrue(verbs.size() >= 7, help);
    for (String verb : verbs) {
      assertTrue(ManPage.text().contains("\n.SS " + verb + "\n"), verb);
    }
  }

  @Test
  void exitStatusAndExamplesAreThere() {
    String page = read(ManPage.text());
    assertTrue(page.contains("3 no such device"), page);
    assertTrue(page.contains(".nf\nublk-bridge attach nbd://db1/vol "), page);
    assertTrue(page.contains("--verbose"), page);
  }

  /// Only what is meant for the formatter begins with a dot, and nothing else is left to it.
  @Test
  void textIsNotTakenForRequests() {
    for (String line : ManPage.text().lines().toList()) {
      if (line.startsWith(".")) {
        assertTrue(line.matches("\\.(TH|SH|SS|PP|TP|B|I|RS 4|RE|nf|fi|br|ad l)\\b.*"), line);
      }
      assertTrue(!line.startsWith("'") && !line.isEmpty(), "an empty or odd line: " + line);
      assertTrue(line.replaceAll("\\\\(-|e|&|f[BIR])", "").indexOf('\\') < 0, line);
    }
  }
}
