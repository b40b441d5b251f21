//! The lock of a fleet, and what two processes make of one limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{Cluster, Force, Lock};
use mesh::desired::{Kind, Manifest};
use mesh::fleet::Fleet;
use mesh::names::Id;
use mesh::objects::{as_observed, fleet_objects, withdrawn};
use mesh::rollout::{MaxUnavailable, OnFailure, Rollout, Turn, bare_lease, turn};
use mesh::withdrawal::{Operation, Withdrawal, is_withdrawn};
use serde_json::json;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::bed::{cluster, manifest, workload};

async fn gate() -> OwnedMutexGuard<()> {
    Arc::new(Mutex::new(())).lock_owned().await
}

fn fleet() -> Id {
    Id {
        name: "ratings".parse().unwrap(),
        ..workload()
    }
}

/// The Lease as a fleet declares it.
fn declared(id: &Id, limit: &str) -> Manifest {
    let fleet = Fleet {
        id: id.clone(),
        services: [].into(),
        sidecar: None,
        group: None,
        rollout: Some(Rollout {
            max_unavailable: limit.parse().unwrap(),
            on_failure: OnFailure::Continue,
        }),
    };
    fleet_objects(&fleet).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_by_one_at_a_time_and_a_dead_holder_s_is_forgotten() {
    let (cluster, other) = (cluster().await, cluster().await);
    let bare = bare_lease(&fleet()).unwrap();
    let first = Lock::take(&cluster, gate().await, &bare, "first").await;
    let first = first.unwrap();
    let second = Lock::take(&other, gate().await, &bare, "second");
    let early = tokio::time::timeout(Duration::from_secs(2), second).await;
    assert!(early.is_err(), "two hold the lock");
    let second = Lock::take(&other, gate().await, &bare, "second");
    let (second, released) = tokio::join!(second, first.release());
    released.unwrap();
    let second = second.unwrap();
    assert!(second.is_sure());
    // It renews once, and is killed.
    second.renew().await.unwrap();
    let killed = Instant::now();
    let third = Lock::take(&cluster, gate().await, &bare, "third").await;
    assert!(killed.elapsed() >= mesh::withdrawal::DEAD);
    // What the dead one does later harms nobody.
    second.renew().await.unwrap();
    assert!(!second.is_sure());
    second.release().await.unwrap();
    let lease = cluster.lease(&bare.id).await.unwrap().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "third");
    third.unwrap().release().await.unwrap();
}

/// The answer to the write that took it was lost, and the run asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_wait_for_itself() {
    let cluster = cluster().await;
    let fleet = Id {
        name: "lost".parse().unwrap(),
        ..workload()
    };
    let bare = bare_lease(&fleet).unwrap();
    let taken = Lock::take(&cluster, gate().await, &bare, "run").await;
    drop(taken.unwrap());
    let again = Lock::take(&cluster, gate().await, &bare, "run");
    let again = tokio::time::timeout(mesh::withdrawal::DEAD / 2, again).await;
    again.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_writes_how_it_rolls_while_the_lock_is_held() {
    let (cluster, id) = (cluster().await, fleet());
    let lease = declared(&id, "50%");
    let one = std::slice::from_ref(&lease);
    cluster.apply(one, Force::Never).await.unwrap();
    let bare = bare_lease(&id).unwrap();
    let lock = Lock::take(&cluster, gate().await, &bare, "run");
    let lock = lock.await.unwrap();
    let declares = |limit| Rollout {
        max_unavailable: limit,
        on_failure: OnFailure::Continue,
    };
    assert_eq!(lock.rollout(), declares(MaxUnavailable::Percent(50)));
    let changed = declared(&id, "2");
    cluster.apply(&[changed], Force::Never).await.unwrap();
    lock.renew().await.unwrap();
    assert!(lock.is_sure());
    assert_eq!(lock.rollout(), declares(MaxUnavailable::Count(2)));
    cluster
        .apply(std::slice::from_ref(&bare), Force::Never)
        .await
        .unwrap();
    let held = cluster.lease(&bare.id).await.unwrap().unwrap();
    assert_eq!(held["spec"]["holderIdentity"], "run");
    assert_eq!(Rollout::declared(Some(&held)), None);
    lock.release().await.unwrap();
    let free = cluster.lease(&bare.id).await.unwrap().unwrap();
    assert!(free["spec"]["holderIdentity"].is_null(), "{free}");
}

/// Bootstraps a member as soon as it is its turn, and returns how many were without traffic then.
async fn roll(cluster: &Cluster, fleet: &Id, id: &Id, absent: &AtomicUsize) -> usize {
    let bare = bare_lease(fleet).unwrap();
    let mark = Withdrawal {
        by: Some(Operation::Bootstrap),
        run: id.name.to_string(),
        renewal: 0,
        leaves: None,
    };
    let own = std::slice::from_ref(id);
    loop {
        let lock = Lock::take(cluster, gate().await, &bare, &mark.run).await;
        let lock = lock.unwrap();
        cluster.forget_list(Kind::WorkloadEntry, &fleet.namespace);
        let entries = cluster.entries(&fleet.namespace).await.unwrap();
        if turn(lock.rollout(), fleet, own, &entries) == Turn::Granted {
            let edit = |seen: &_| Some(withdrawn(&as_observed(id, seen), &mark));
            cluster.edit_entry(id, Force::Never, edit).await.unwrap();
            let most = absent.fetch_add(1, Ordering::SeqCst) + 1;
            lock.release().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            absent.fetch_sub(1, Ordering::SeqCst);
            let admit = |seen: &_| is_withdrawn(seen).then(|| as_observed(id, seen));
            cluster.edit_entry(id, Force::Never, admit).await.unwrap();
            return most;
        }
        lock.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_two_processes_keep_one_limit() {
    let (one, two, fleet) = (cluster().await, cluster().await, fleet());
    let ids: Vec<Id> = (1..=6)
        .map(|number| format!("{}/vm-{number}", fleet.namespace).parse().unwrap())
        .collect();
    for (number, id) in ids.iter().enumerate() {
        let labels = json!({ "mesh.vm/fleet": fleet.name.as_str() });
        let spec = json!({ "address": format!("192.0.2.{number}"), "labels": labels });
        let entry = manifest(Kind::WorkloadEntry, id, &spec);
        one.apply(&[entry], Force::Never).await.unwrap();
    }
    for limit in ["1", "50%"] {
        let lease = declared(&fleet, limit);
        one.apply(&[lease], Force::Never).await.unwrap();
        let absent = AtomicUsize::new(0);
        let rolls = ids.iter().enumerate().map(|(number, id)| {
            let cluster = if number % 2 == 0 { &one } else { &two };
            roll(cluster, &fleet, id, &absent)
        });
        let most = futures::future::join_all(rolls).await.into_iter().max();
        let limit: MaxUnavailable = limit.parse().unwrap();
        assert!(most <= Some(limit.of(ids.len())), "{most:?}");
    }
}
