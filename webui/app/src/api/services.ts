/** What the services framework answers: Marathon's v2 REST API, reached through the master at `/proxy/<framework>`. */

import { messageOf } from '../live/source';

export interface AppTask {
  appId: string;
  id: string;
  host: string;
  state: string;
  ports?: number[];
  stagedAt?: string;
  startedAt?: string;
  version?: string;
  slaveId?: string;
  healthCheckResults?: { alive: boolean; lastFailureCause?: string | null }[];
}

export interface App {
  id: string;
  cmd?: string | null;
  args?: string[] | null;
  instances: number;
  cpus: number;
  mem: number;
  disk?: number;
  gpus?: number;
  env?: Record<string, unknown>;
  labels?: Record<string, string>;
  constraints?: string[][];
  healthChecks?: unknown[];
  user?: string | null;
  version?: string;
  versionInfo?: { lastScalingAt?: string; lastConfigChangeAt?: string };
  backoffSeconds?: number;
  backoffFactor?: number;
  maxLaunchDelaySeconds?: number;
  tasksStaged?: number;
  tasksRunning?: number;
  tasksHealthy?: number;
  tasksUnhealthy?: number;
  deployments?: { id: string }[];
  tasks?: AppTask[];
  lastTaskFailure?: TaskFailure | null;
  container?: { type?: string; docker?: { image?: string } } | null;
}

export interface TaskFailure {
  appId: string;
  host: string;
  message: string;
  state: string;
  taskId: string;
  timestamp: string;
  slaveId?: string;
}

export interface Deployment {
  id: string;
  version: string;
  affectedApps: string[];
  steps: { actions: { action: string; app?: string }[] }[] | { action: string; app?: string }[][];
  currentActions: { action: string; app?: string }[];
  currentStep: number;
  totalSteps: number;
  /** Why the apps that it is at are not where they should be. */
  explanations?: Explanation[];
  /** Beyond Marathon: only there when it is used. */
  rollout?: { paused?: string; apps?: Record<string, { canaryStage: number; failures: number }> };
}

/** One thing that could be changed so that more would start. */
export interface SuggestedChange {
  sentence: string;
  fits: number;
  /** The fields of the app to change. */
  patch?: Record<string, unknown>;
  call?: { method: string; path: string };
}

export interface FunnelRow {
  reason: string;
  declined: number;
  processed: number;
}

/** Why an app is not where it should be. */
export interface Explanation {
  id: string;
  waiting: number;
  sentence: string;
  reasons: { cause: string; count: number; sentence: string; changes: SuggestedChange[] }[];
  funnel: FunnelRow[];
  offers: { agents: number; fitting: number; absent: number; lastOfferAt?: string | null };
}

export interface QueueEntry {
  count: number;
  since?: string;
  delay?: { timeLeftSeconds: number; overdue: boolean };
  processedOffersSummary?: {
    processedOffersCount: number;
    unusedOffersCount: number;
    lastUnusedOfferAt?: string | null;
    rejectSummaryLastOffers?: FunnelRow[];
  };
  app?: { id: string };
  explanation?: Explanation;
  /** When the back-off ends by the reader's clock, in milliseconds since 1970. */
  readyAt?: number;
}

/** Kinds of event after which an app, a deployment or the queue may read differently. */
export const EVENTS = [
  'status_update_event', 'instance_changed_event', 'instance_health_changed_event', 'health_status_changed_event',
  'failed_health_check_event', 'unhealthy_instance_kill_event', 'api_post_event', 'app_terminated_event', 'deployment_info',
  'deployment_step_success', 'deployment_step_failure', 'deployment_success', 'deployment_failed', 'group_change_success',
  'group_change_failed',
] as const;

/** The services framework did not do what was asked. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** Deployments that hold a lock on the app, when that is why. */
    readonly deployments: string[] = [],
  ) {
    super(message);
  }
}

export class ServicesApi {
  constructor(readonly framework: string) {}

  get base() {
    return `/proxy/${encodeURIComponent(this.framework)}`;
  }

  eventsUrl = () => `${this.base}/v2/events?${EVENTS.map((kind) => `event_type=${kind}`).join('&')}`;

  apps = async () =>
    (await this.get<{ apps: App[] }>('/v2/apps?embed=apps.counts&embed=apps.deployments&embed=apps.lastTaskFailure')).apps;

  app = async (id: string) =>
    (await this.get<{ app: App }>(`/v2/apps/${path(id)}?embed=app.counts&embed=app.tasks&embed=app.deployments&embed=app.lastTaskFailure`)).app;

  deployments = () => this.get<Deployment[]>('/v2/deployments?embed=explanation');

  /** Why an app is not where it should be. */
  why = (id: string) => this.get<Explanation>(`/v2/apps/${path(id)}/why`);

  queue = async () => {
    const { queue } = await this.get<{ queue: QueueEntry[] }>('/v2/queue?embed=explanation');
    return queue.map((entry) => ({ ...entry, readyAt: Date.now() + (entry.delay?.timeLeftSeconds ?? 0) * 1000 }));
  };

  /** Sets how many instances an app should have. With `force`, a deployment under way for it is replaced. */
  scale = (id: string, instances: number, force: boolean) =>
    this.send('PUT', `/v2/apps/${path(id)}${force ? '?force=true' : ''}`, { instances });

  /** Kills one task; the app starts another in its place. */
  kill = (app: string, task: string) => this.send('DELETE', `/v2/apps/${path(app)}/tasks/${encodeURIComponent(task)}`);

  /** Starts a deployment that undoes what this one changed. */
  rollBack = (deployment: string) => this.send('DELETE', `/v2/deployments/${encodeURIComponent(deployment)}`);

  /** Holds a deployment, lets it go on, or lets its canary go on. */
  steer = (deployment: string, verb: 'pause' | 'resume' | 'promote') =>
    this.send('POST', `/v2/deployments/${encodeURIComponent(deployment)}/${verb}`, {});

  private async get<T>(address: string): Promise<T> {
    const answer = await fetch(this.base + address, { headers: { accept: 'application/json' } });
    if (!answer.ok) throw await refused(answer);
    return (await answer.json()) as T;
  }

  private async send(method: string, address: string, body?: unknown): Promise<void> {
    const answer = await fetch(this.base + address, {
      method,
      headers: { accept: 'application/json', 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw await refused(answer);
  }
}

const path = (id: string) => id.split('/').filter((part) => part !== '').map(encodeURIComponent).join('/');

async function refused(answer: Response): Promise<Refused> {
  const body = await answer.text();
  let deployments: string[] = [];
  try {
    const parsed = JSON.parse(body) as { deployments?: { id: string }[] };
    deployments = (parsed.deployments ?? []).map((deployment) => deployment.id);
  } catch {
    // The body is no JSON; its text is the message.
  }
  return new Refused(answer.status, messageOf(body) || `the services framework answered ${answer.status}`, deployments);
}
