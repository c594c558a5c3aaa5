import { expect, test } from "vitest";
import { deviceSelector } from "./devices.ts";

const device = {
  name: "gpu-0",
  attributes: {
    model: { string: "a100" },
    "other.example.com/slot": { int: 3 },
    healthy: { bool: true },
    firmware: { version: "1.10.2" },
    lanes: { ints: [1, 2] },
  },
  capacity: { memory: { value: "40Gi" } },
};

test.each([
  ["device.driver == 'gpu.example.com'", true],
  ["device.attributes['gpu.example.com'].model == 'a100'", true],
  ["device.attributes['other.example.com'].slot > 2", true],
  ["device.attributes['gpu.example.com'].healthy", true],
  [
    "device.attributes['gpu.example.com'].firmware.isGreaterThan(semver('1.9.0')) && !device.allowMultipleAllocations",
    true,
  ],
  ["device.attributes['gpu.example.com'].lanes.includes(2)", true],
  ["device.capacity['gpu.example.com'].memory.compareTo(quantity('80Gi')) >= 0", false],
  ["'model' in device.attributes['nobody.example.com']", false],
  ["has(device.attributes['gpu.example.com'].colour)", false],
  ["cel.bind(gpu, device.attributes['gpu.example.com'], gpu.model.startsWith('a') && gpu.healthy)", true],
])("%s", (expression, wanted) => {
  expect(deviceSelector(expression).matches("gpu.example.com", device)).toBe(wanted);
});

test("what is not there is an error, and so is what is no expression", () => {
  const missing = deviceSelector("device.attributes['gpu.example.com'].colour == 'red'");
  expect(() => missing.matches("gpu.example.com", device)).toThrow("no such key: colour");
  expect(() => deviceSelector("device.nope")).toThrow("undefined field 'nope'");
});
