// Holds what a virtual machine of ci/kernels has sent against what must be so: `node kernels-check.mjs SENT`.
// SENT has a line `=== NAME STATUS` before the output of each command.
import { readFileSync } from "node:fs";

const WORKERS = 2, ITERATIONS = 3, TIMES = WORKERS * ITERATIONS;
const wrong = [];
const expect = (what, got, wanted) => {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push(`${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
};
const atLeast = (what, got, least) => {
  if (!(got >= least)) wrong.push(`${what}: ${JSON.stringify(got)}, not ${least} or more`);
};

const parts = new Map();
for (const part of readFileSync(process.argv[2], "utf8").split(/^=== /m).slice(1)) {
  const [head, ...rest] = part.split("\n");
  const [name, status] = head.trim().split(" ");
  parts.set(name, { status, text: rest.join("\n") });
}
const json = (name) => {
  const part = parts.get(name);
  if (!part) throw new Error(`the machine sent no ${name}`);
  try {
    return { status: part.status, value: JSON.parse(part.text) };
  } catch {
    throw new Error(`${name} ended with status ${part.status} and without JSON: ${part.text.slice(0, 400)}`);
  }
};

// Every program of the capture and of the flows of events, by `doctor`.
function doctor() {
  const { value: findings } = json("doctor");
  for (const name of ["live capture", "flows of events"]) {
    const finding = findings.find((finding) => finding.what === name);
    if (!finding?.ok) wrong.push(`doctor: ${name}: ${finding?.detail ?? "not mentioned"}`);
  }
  for (const finding of findings.filter((finding) => finding.what.includes("kernel program"))) {
    wrong.push(`doctor: ${finding.detail}`);
  }
}

// ci/kernels.wat, watched: everything that it does on purpose, to the last.
function counts() {
  const { status, value: report } = json("counts");
  expect("status of the run", status, "0");
  const programs = report.capture.programs;
  expect("programs", programs.length, 12);
  // The machine's own namespaces have other numbers on other kernels.
  expect("namespaces", report.machine.namespaces, undefined);
  for (const program of programs.filter((program) => program.unavailable || program.blind_to)) {
    wrong.push(`${program.name}: ${program.unavailable ?? program.blind_to}`);
  }
  const { ring_dropped, map_full, events_lost } = report.capture.ledger;
  expect("losses", [ring_dropped, map_full, events_lost], [0, 0, 0]);
  const kernel = report.scenarios[0].cases[0].kernel;
  if (!kernel) throw new Error("the guest was not watched");
  const { run, trap, spawn } = kernel.phases;
  expect("writes in run", run?.syscalls.pwrite64?.count, 7 * TIMES);
  expect("sleeps in run", run?.syscalls.clock_nanosleep?.count, TIMES);
  // Where the emulated clock is not good enough for the vDSO, the marks themselves are calls.
  const calls = Object.keys(run?.syscalls ?? {}).filter((name) => name !== "clock_gettime");
  expect("calls in run", calls.sort(), ["clock_nanosleep", "pwrite64"]);
  expect("faults of the guest's memory in run", run?.faults.user_by_region.linear_memory, 24 * TIMES);
  expect("faults of guard pages in run", run?.faults.user_by_region.guard, undefined);
  const slept_ns = run?.syscalls.clock_nanosleep?.latency_ns?.sum;
  atLeast("time in sleeps, ns", slept_ns, 20_000_000 * TIMES);
  // How much of a sleep is spent without the processor depends on how long an emulated one takes to give it away.
  const { blocked, blocked_spans } = run?.off_cpu_ns ?? {};
  atLeast("time in sleeps, ns, beside that without the processor", slept_ns, blocked);
  atLeast("times without the processor in run", blocked_spans?.count, 1);
  expect("switches of its own will in run", run?.switches?.voluntary, blocked_spans?.count);
  expect("SIGSEGV in run", run?.signals?.SIGSEGV, 0);
  expect("SIGSEGV in trap", trap?.signals?.SIGSEGV, TIMES);
  expect("faults of guard pages in trap", trap?.faults.user_by_region.guard, TIMES);
  expect("programs executed in spawn", spawn?.syscalls.execve?.count, WORKERS);
  expect("calls that never return", kernel.outside?.syscalls.exit_group?.count, WORKERS);
  atLeast("threads created outside", kernel.outside?.created?.threads, WORKERS);
}

// A quota of half a processor by cgroup version 2, which the machine that builds need not have.
function quota() {
  const { value: report } = json("quota");
  expect("quota of processor time", report.machine.limits?.cpu_quota, 0.5);
  expect("limit of memory", report.machine.limits?.memory_bytes, 512 << 20);
  atLeast("periods in which the run was stopped", report.machine.limits?.throttled?.periods, 1);
  const disturbance = report.scenarios[0].cases[0].disturbance;
  atLeast("periods in which the case was stopped", disturbance?.throttled?.periods, 1);
  if (!disturbance?.note) wrong.push("the case that was stopped is not disturbed");
}

for (const check of [doctor, counts, quota]) {
  try {
    check();
  } catch (error) {
    wrong.push(error.message);
  }
}
wrong.forEach((line) => console.error(`  ${line}`));
process.exit(wrong.length === 0 ? 0 : 1);
