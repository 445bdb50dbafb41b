import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: ["packages/testing/src/global-setup.ts"],
    reporters: ["default", "./tools/closing-line-reporter.ts"],
    include: [
      "{apps,packages,services}/*/src/**/*.test.ts",
      "tests/src/**/*.test.ts",
      "tools/**/*.test.ts",
      "bench/src/**/*.test.ts",
    ],
    // Tests start real processes on two cores: a generous bound, never a measure of speed.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    passWithNoTests: false,
    allowOnly: false,
  },
});
