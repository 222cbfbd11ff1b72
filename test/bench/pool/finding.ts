/** One thing that a check has found out. */
export interface Finding {
  /** `check/finding`. */
  readonly name: string;
  /** For people: what was counted or measured. */
  readonly what: string;
  readonly value: number;
  /** Empty: a plain number. */
  readonly unit: string;
  /** What it should be; null: it is there to be read. */
  readonly goal: Goal | null;
  /** Whether it is so; null without a goal. */
  readonly isMet: boolean | null;
  /** A miss is a fault, whatever the machine, and fails the run. */
  readonly mustHold: boolean;
}

/** At least, or at most, so much. */
export type Goal = { readonly min: number } | { readonly max: number };

/** A finding that no machine excuses. */
export function demand(name: string, what: string, value: number, goal: Goal): Finding {
  return { name, what, value, unit: '', goal, isMet: isMet(goal, value), mustHold: true };
}

/** A finding that depends on the machine. */
export function aim(name: string, what: string, value: number, unit: string, goal: Goal | null): Finding {
  return { name, what, value, unit, goal, isMet: goal === null ? null : isMet(goal, value), mustHold: false };
}

function isMet(goal: Goal, value: number): boolean {
  return 'min' in goal ? value >= goal.min : value <= goal.max;
}
