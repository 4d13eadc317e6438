import assert from "node:assert/strict";
import { test } from "node:test";

import { holds } from "../verify/predict.js";

test("numbers have tolerances and texts have none", () => {
  const table: [string, string | undefined, boolean][] = [
    ["active", "active", true],
    ["active", "Active", false],
    ["active", undefined, false],
    [">=950000", "950000", true],
    [">= 950000", "949999", false],
    [">=950000", "active", false],
    [">=-5", "-6", false],
    ["<=20", "20", true],
    ["<=20", "21", false],
    ["10..20", "20", true],
    ["10 .. 20", "15", true],
    ["10..20", "9", false],
    ["20..10", "15", false],
    ["100+-5", "95", true],
    ["100 +- 5", "106", false],
    ["a..b", "a..b", true],
    [">=x", ">=x", true],
    [">=5", ">=5", false],
    [">=5", "+6", false],
    [">=5", "6.0", false],
    [">=5", "1234567890123456789", false],
  ];
  for (const [predicted, observed, expected] of table) assert.equal(holds(predicted, observed), expected, `${predicted} ${observed}`);
});
