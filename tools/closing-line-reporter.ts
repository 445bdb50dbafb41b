/** Ends a test run with one line that people and machines read alike: `N passed, N failed`, with `, N skipped` where any were. */
import type { Reporter, TestModule } from "vitest/node";

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let own = 0;
      for (const test of module.children.allTests()) {
        own++;
        const { state } = test.result();
        count[state === "pending" ? "failed" : state]++;
      }
      // A file that could not be loaded, or holds no test, has failed as a whole.
      if (own === 0 || module.errors().length > 0) count.failed++;
      // A hook that fails takes its tests with it: they are reported as skipped, the suite as failed.
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) count.failed++;
    }
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
    // After the default reporter's own summary.
    setImmediate(() => console.log(`\n${count.passed} passed, ${count.failed} failed${skipped}`));
  }
}
