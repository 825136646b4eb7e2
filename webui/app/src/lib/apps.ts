/** How an app is doing, in the words people know from Marathon. */

import type { App, Deployment, FunnelRow, QueueEntry } from '../api/services';

export type AppState = 'deploying' | 'suspended' | 'delayed' | 'waiting' | 'running' | 'degraded';

/** How long the back-off of an app still lasts, in whole seconds; 0 when it is over. */
export const delayLeft = (queued: QueueEntry | undefined, now: number) =>
  queued && queued.count > 0 && queued.delay && !queued.delay.overdue ? Math.max(0, Math.ceil(((queued.readyAt ?? 0) - now) / 1000)) : 0;

/** An app in the queue waits for an offer, or, while it has time left, waits out its back-off. */
export function appState(app: App, queued: QueueEntry | undefined, now: number): AppState {
  const running = app.tasksRunning ?? 0;
  if (delayLeft(queued, now) > 0) return 'delayed';
  if (queued && queued.count > 0 && running < app.instances && (app.tasksStaged ?? 0) === 0) return 'waiting';
  if ((app.deployments ?? []).length > 0) return 'deploying';
  if (app.instances === 0 && running === 0) return 'suspended';
  return running < app.instances ? 'degraded' : 'running';
}

export interface Health {
  healthy: number;
  unhealthy: number;
  /** Running and not checked, or not checked yet. */
  unknown: number;
  staged: number;
  /** Running beyond what is asked for. */
  over: number;
  /** Asked for and not started. */
  missing: number;
}

/** The instances of an app by how they are; the buckets add up to the larger of what is there and what is asked for. */
export function health(app: App): Health {
  const running = app.tasksRunning ?? 0;
  const staged = app.tasksStaged ?? 0;
  const over = Math.max(0, running - app.instances);
  let healthy = app.tasksHealthy ?? 0;
  const unhealthy = Math.min(app.tasksUnhealthy ?? 0, running);
  healthy = Math.min(healthy, running - unhealthy);
  const unknown = Math.max(0, running - healthy - unhealthy);
  // What is beyond the target is taken from the instances nothing is known of first.
  const overUnknown = Math.min(over, unknown);
  return {
    healthy: Math.max(0, healthy - (over - overUnknown)),
    unhealthy,
    unknown: unknown - overUnknown,
    staged,
    over,
    missing: Math.max(0, app.instances - running - staged),
  };
}

/** One sentence for an app that is not where it should be; null when it is. */
export function whyNot(app: App, queued: QueueEntry | undefined, now: number): string | null {
  const state = appState(app, queued, now);
  if (state === 'delayed') return `Waits ${delayLeft(queued, now)} s before the next start, because instances kept failing.`;
  const told = queued?.explanation?.sentence;
  if (told && (state === 'waiting' || state === 'degraded' || state === 'deploying')) return told;
  const rows = queued?.processedOffersSummary?.rejectSummaryLastOffers ?? [];
  const worst = rows.filter((row) => row.declined > 0).sort((a, b) => b.declined - a.declined)[0];
  if (state === 'waiting' || state === 'degraded') {
    if (worst) return `${worst.declined} of ${rows[0]?.processed ?? worst.processed} recent offers did not fit: ${REASONS[worst.reason] ?? worst.reason}.`;
    if (state === 'waiting') return 'Waits for the next offer.';
  }
  return null;
}

export const REASONS: Record<string, string> = {
  UnfulfilledRole: 'reserved for another role',
  UnfulfilledConstraint: 'a constraint of the app is not met',
  NoCorrespondingReservationFound: 'no matching reservation',
  AgentMaintenance: 'agent in maintenance',
  InsufficientCpus: 'too few CPUs',
  InsufficientMemory: 'too little memory',
  InsufficientDisk: 'too little disk',
  InsufficientGpus: 'too few GPUs',
  InsufficientPorts: 'no suitable ports',
  DeclinedScarceResources: 'kept for tasks that need scarce resources',
};

/** The step of the funnel in words, short enough for a table. */
export const STEPS: Record<string, string> = {
  UnfulfilledRole: 'Role',
  UnfulfilledConstraint: 'Constraint',
  NoCorrespondingReservationFound: 'Reservation',
  AgentMaintenance: 'Maintenance',
  InsufficientCpus: 'CPU',
  InsufficientMemory: 'Memory',
  InsufficientDisk: 'Disk',
  InsufficientGpus: 'GPU',
  InsufficientPorts: 'Ports',
  DeclinedScarceResources: 'Scarce resources',
};
/** Steps that are shown even when every offer passes them. */
const ALWAYS = ['UnfulfilledRole', 'UnfulfilledConstraint', 'InsufficientCpus', 'InsufficientMemory', 'InsufficientDisk', 'InsufficientPorts'];

/** The funnel of offers: each step with how many offers reached it and how many passed. */
export const funnelSteps = (rows: FunnelRow[]) =>
  rows
    .filter((row) => row.declined > 0 || ALWAYS.includes(row.reason))
    .map((row) => ({ reason: row.reason, name: STEPS[row.reason] ?? row.reason, reached: row.processed, passed: row.processed - row.declined }));

/** The actions of every step, whichever of Marathon's two shapes they come in. */
export const steps = (deployment: Deployment) =>
  deployment.steps.map((step) => (Array.isArray(step) ? step : step.actions));

/** The app of a task whose id the services framework made, `shop_cart.instance-<uuid>._app.1`; null for any other task. */
export function appOfTask(id: string): string | null {
  const made = /^([a-z0-9.\-_]+)\.instance-[0-9a-f-]{36}\._app\.\d+$/.exec(id);
  return made ? `/${(made[1] as string).replaceAll('_', '/')}` : null;
}

/** The app's id as its task ids begin. */
export const idInTasks = (app: string) => app.replace(/^\//, '').replaceAll('/', '_');
