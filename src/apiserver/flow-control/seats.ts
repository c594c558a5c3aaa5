/**
 * How many requests are at work at once, of each priority level and of all. A level always gets what it does not lend;
 * beyond that it takes what the others leave: seats that nobody uses are lent at once, and come back when a request ends.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#seats-occupied-by-a-request
 */

export interface Share {
  /** Its part of all seats, while everybody wants theirs. */
  nominal: number;
  /** What nobody can borrow. */
  floor: number;
  /** With everything that it borrows. */
  ceiling: number;
}

export interface ShareSettings {
  shares: number;
  lendablePercent: number;
  /** Of its nominal seats; undefined: as many as there are. */
  borrowingLimitPercent: number | undefined;
}

/** Seats of one priority level. */
export class Seats {
  share: Share = { nominal: 0, floor: 0, ceiling: 0 };
  taken = 0;
}

export function shareOf(settings: ShareSettings, sharesOfAll: number, seatsOfAll: number): Share {
  const { shares, lendablePercent, borrowingLimitPercent } = settings;
  const nominal = sharesOfAll === 0 ? 0 : Math.ceil((seatsOfAll * shares) / sharesOfAll);
  const lent = Math.round((nominal * lendablePercent) / 100);
  const borrowed =
    borrowingLimitPercent === undefined
      ? Number.POSITIVE_INFINITY
      : Math.round((nominal * borrowingLimitPercent) / 100);
  return { nominal, floor: nominal - lent, ceiling: Math.min(nominal + borrowed, seatsOfAll) };
}

/** Whether a level may take one more, when all keep their floors. */
export function mayTake(wanting: Seats, all: Iterable<Seats>, seatsOfAll: number): boolean {
  const { taken, share } = wanting;
  if (taken < share.floor) return true;
  if (taken >= share.ceiling) return false;
  let spoken = 0;
  for (const seats of all) spoken += Math.max(seats.taken, seats.share.floor);
  return spoken < seatsOfAll;
}
