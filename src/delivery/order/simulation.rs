//! The order over hours of simulated time, in front of applications with their troubles.

use super::*;
use std::collections::BTreeMap;

const ROUTE: &str = "/a";
const DELIVERIES: usize = 8;
/// The time that an application takes, and the step of the simulation, in milliseconds.
const STEP: Moment = 20;
const MINUTE: Moment = 60_000;

/// What an application makes of a notification of this key at this moment.
type Application = fn(Moment, u8) -> Option<Failure>;

#[derive(Default)]
struct Simulation {
    order: Order,
    now: Moment,
    received: i64,
    under_way: Vec<Spot>,
    /// The moment of receipt of each stored notification.
    stored: BTreeMap<i64, Moment>,
    /// The last delivered one of each key.
    last: BTreeMap<Key, i64>,
    attempts: usize,
    parked: usize,
    most_waiting: usize,
    longest_wait: Moment,
    last_delivery: Moment,
}

impl Simulation {
    /// Runs until `end`. Every `every` milliseconds until `arrivals`, a notification arrives, of one
    /// of `keys` keys in turn.
    fn run(
        application: Application,
        keys: u8,
        every: Moment,
        arrivals: Moment,
        end: Moment,
    ) -> Self {
        let mut simulation = Self::default();
        while simulation.now < end {
            if simulation.now < arrivals && simulation.now.is_multiple_of(every) {
                let number = simulation.now / every % Moment::from(keys);
                simulation.arrive(u8::try_from(number).unwrap());
            }
            simulation.answer(application);
            simulation.send();
            simulation.now += STEP;
        }
        simulation
    }

    fn arrive(&mut self, key: u8) {
        self.received += 1;
        let place = Place::by_receipt(self.received, self.received);
        let spot = Spot {
            route: ROUTE.into(),
            key: Key([key; 16]),
            place,
        };
        self.stored.insert(self.received, self.now);
        self.order.stored(&spot, self.now);
        self.most_waiting = self.most_waiting.max(self.stored.len());
    }

    fn answer(&mut self, application: Application) {
        for spot in std::mem::take(&mut self.under_way) {
            self.attempts += 1;
            match application(self.now, spot.key.0[0]) {
                None => self.deliver(&spot),
                Some(failure) => {
                    let trial = Trial {
                        failure,
                        retry_after: 0,
                        spread: 1000,
                    };
                    let (verdict, _) = self.order.failed(&spot, trial, self.now);
                    if verdict == Verdict::Park {
                        self.parked += 1;
                        self.stored.remove(&spot.place.received);
                        self.order.gone(&spot, self.now);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, spot: &Spot) {
        let received = spot.place.received;
        let before = self.last.insert(spot.key, received);
        assert!(
            before.is_none_or(|before| before < received),
            "out of order"
        );
        let arrived = self.stored.remove(&received).unwrap();
        self.longest_wait = self.longest_wait.max(self.now - arrived);
        self.last_delivery = self.now;
        self.order.delivered(spot, self.now);
        self.order.gone(spot, self.now);
    }

    fn send(&mut self) {
        while let Some(spot) = self.order.next(DELIVERIES, self.now) {
            self.under_way.push(spot);
        }
    }
}

#[test]
fn an_hour_of_outage_costs_few_attempts_and_loses_nothing() {
    let application: Application = |now, _| (now < 60 * MINUTE).then_some(Failure::Down);
    let run = Simulation::run(application, 50, 100, 60 * MINUTE, 65 * MINUTE);
    assert_eq!((run.parked, run.stored.len()), (0, 0));
    assert_eq!(run.most_waiting, 36_000);
    let probes = run.attempts - 36_000;
    assert!((300..420).contains(&probes), "{probes}");
}

#[test]
fn an_application_that_is_up_for_half_the_time_gets_everything_soon() {
    let application: Application = |now, _| (now % 15_000 >= 8000).then_some(Failure::Down);
    let run = Simulation::run(application, 20, 60, 30 * MINUTE, 31 * MINUTE);
    assert_eq!((run.parked, run.stored.len()), (0, 0));
    assert!(run.longest_wait < 30_000, "{}", run.longest_wait);
}

#[test]
fn poison_is_parked_with_its_followers_and_holds_up_no_other() {
    for failure in [Failure::Refused, Failure::Down] {
        let (application, least, tries): (Application, usize, usize) = match failure {
            Failure::Refused => (|_, key| (key == 0).then_some(Failure::Refused), 1700, 2),
            // It brings the application down, which is up again at once. The first failure of each
            // may be the beginning of an outage.
            Failure::Down => (|_, key| (key == 0).then_some(Failure::Down), 400, 4),
        };
        let run = Simulation::run(application, 10, 200, 60 * MINUTE, 75 * MINUTE);
        let of_others = 60 * 60 * 5 / 10 * 9;
        let delivered = 60 * 60 * 5 - run.parked - run.stored.len();
        assert_eq!(delivered, of_others, "{failure:?}");
        // Nothing is judged within ten minutes, and what follows is judged by few attempts.
        assert!(run.parked > least, "{failure:?}: {} parked", run.parked);
        let attempts = run.attempts - of_others;
        assert!(
            attempts < tries * run.parked + 30,
            "{failure:?}: {attempts}"
        );
    }
}

#[test]
fn what_no_one_gets_through_is_nothing_that_a_notification_is_blamed_for() {
    // A deployment without the route.
    let application: Application = |now, _| (now < 10 * MINUTE).then_some(Failure::Refused);
    let run = Simulation::run(application, 20, 200, 10 * MINUTE, 15 * MINUTE);
    assert_eq!((run.parked, run.stored.len()), (0, 0));
    let after = run.last_delivery - 10 * MINUTE;
    assert!(after < 75_000, "{after}");
}

#[test]
fn poison_that_is_alone_on_its_route_is_never_parked() {
    let application: Application = |_, _| Some(Failure::Refused);
    let run = Simulation::run(application, 1, 24 * 60 * MINUTE, 1, 24 * 60 * MINUTE);
    assert_eq!((run.parked, run.stored.len()), (0, 1));
    // 1, 2, 4 … 32 s, and then once a minute.
    assert!((1440..1460).contains(&run.attempts), "{}", run.attempts);
}

#[test]
fn a_healthy_server_is_a_reason_to_probe_at_once() {
    let mut simulation = Simulation::default();
    simulation.arrive(1);
    let down: Application = |_, _| Some(Failure::Down);
    for _ in 0..10 {
        simulation.now += MINUTE;
        simulation.send();
        simulation.answer(down);
    }
    // The key's own pause is over, and the next probe is seconds away.
    simulation.now += 1500;
    simulation.send();
    assert!(simulation.under_way.is_empty());
    simulation.order.hurry(ROUTE, simulation.now);
    simulation.send();
    assert_eq!(simulation.under_way.len(), 1);
}
