import t from 'tap';
import {
  LATE_SAMPLES,
  MAX_LOOP_DELAY_MS,
  type MemoryReading,
  PressureMonitor,
  SAMPLE_INTERVAL_MS,
} from '#sidecar/pressure/pressure-monitor.ts';

const MB = 1_048_576;

/** A monitor of 100 MB with a heap of 50 MB, and a clock that goes on as it should. */
function monitor() {
  const changes: boolean[] = [];
  const one = new PressureMonitor({ memoryBytes: 100 * MB, heapBytes: 50 * MB }, ({ isRefusing }) =>
    changes.push(isRefusing),
  );
  let now = 1_000;
  return {
    one,
    changes,
    sample(megabytes: Partial<Record<'resident' | 'accounted' | 'heap', number>>, lateMs = 0): string | undefined {
      now += SAMPLE_INTERVAL_MS + lateMs;
      const { resident = 10, heap = 5, accounted = resident } = megabytes;
      const reading: MemoryReading = {
        residentBytes: resident * MB,
        accountedBytes: accounted * MB,
        heapBytes: heap * MB,
      };
      one.sample(reading, now);
      return one.reason;
    },
  };
}

t.test('refuses from the upper watermark on, until memory is below the lower one', async (t) => {
  const { one, changes, sample } = monitor();
  t.equal(sample({ resident: 90 }), undefined);
  t.match(sample({ resident: 91 }), /memory in use: 91 MB of memoryLimit 100 MB/);
  t.match(sample({ resident: 85 }), /memory/, 'between the watermarks nothing changes');
  t.equal(one.episodes, 1);
  t.equal(sample({ resident: 79 }), undefined);
  t.equal(sample({ resident: 85 }), undefined, 'nor on the way up');
  t.strictSame(changes, [true, false]);
});

t.test('memory that was freed within the process does not keep it refusing, though it stays resident', async (t) => {
  const { one, sample } = monitor();
  t.match(sample({ resident: 95, accounted: 60 }), /memory/);
  t.match(sample({ resident: 95, accounted: 50 }), /memory in use: 85 MB/);
  t.equal(sample({ resident: 95, accounted: 40 }), undefined);
  t.equal(one.memoryBytes, 75 * MB);
  t.match(sample({ resident: 95, accounted: 58 }), /memory in use: 93 MB/, 'used again, it counts again');
  t.equal(sample({ resident: 75, accounted: 40 }), undefined);
  t.equal(one.memoryBytes, 75 * MB, 'what went back to the system is not counted twice');
  t.match(sample({ resident: 111, accounted: 40 }), /memory in use: 91 MB/, 'what nobody accounts for is in use');
});

t.test('refuses before the JavaScript heap is full, however much memory there is', async (t) => {
  const { sample } = monitor();
  t.match(sample({ heap: 46 }), /JavaScript heap: 46 MB of heapLimit 50 MB/);
  t.match(sample({ heap: 41 }), /heap/);
  t.equal(sample({ heap: 39 }), undefined);
});

t.test('an event loop that is late again and again is pressure; one pause is none', async (t) => {
  const { one, sample } = monitor();
  t.equal(sample({}, 10 * MAX_LOOP_DELAY_MS), undefined);
  t.equal(sample({}), undefined);
  for (let late = 1; late < LATE_SAMPLES; late++) t.equal(sample({}, MAX_LOOP_DELAY_MS + 1), undefined);
  t.match(sample({}, MAX_LOOP_DELAY_MS + 1), /event loop is 1001 ms late, 3 times in a row/);
  t.equal(one.kind, 'event-loop');
  t.equal(sample({}), undefined);
});
