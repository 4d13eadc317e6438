//! What gossip keeps of a peer, shown with one that wants more than it should.

use futures::StreamExt as _;
use libp2p::gossipsub::PublishError;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{SwarmBuilder, noise, tcp, yamux};

use super::*;

/// Messages for one peer that wait to be sent, at most.
const QUEUE: usize = 500;
/// Bytes that the sockets and handlers between two peers may hold besides.
const ON_THE_WAY: usize = 32 << 20;

fn mesh() -> MeshId {
    MeshId::from_bytes([7; 32])
}

fn node() -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key, via| Ok(Behaviour::new(key, &mesh(), via, &Admitted::default(), false)?))
        .unwrap()
        .build()
}

/// Somebody who speaks gossip alone.
fn other() -> Swarm<gossipsub::Behaviour> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .max_transmit_size(GOSSIP_BYTES_MAX)
        .build()
        .unwrap();
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap())
        .unwrap()
        .build()
}

fn topics(node: &Swarm<Behaviour>, peer: &PeerId) -> Vec<TopicHash> {
    let mut all = node.behaviour().gossip.all_peers();
    all.find(|(one, _)| *one == peer)
        .map(|(_, topics)| topics.into_iter().cloned().collect())
        .unwrap_or_default()
}

/// Both, once the node knows that the other has subscribed to a topic of the mesh.
async fn met(wanted: &[IdentTopic]) -> (Swarm<Behaviour>, Swarm<gossipsub::Behaviour>) {
    let (mut node, mut other) = (node(), other());
    node.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    for topic in wanted {
        other.behaviour_mut().subscribe(topic).unwrap();
    }
    let peer = *other.local_peer_id();
    while topics(&node, &peer).is_empty() {
        tokio::select! {
            event = node.select_next_some() => if let SwarmEvent::NewListenAddr { address, .. } = event {
                other.dial(address).unwrap();
            },
            _ = other.select_next_some() => {}
        }
    }
    (node, other)
}

#[tokio::test]
async fn of_what_a_peer_subscribes_to_the_topics_of_the_mesh_alone_are_kept() {
    let heads = topic(&mesh(), Topic::Heads);
    let foreign = (0..100).map(|n| IdentTopic::new(format!("anything {n}")));
    let wanted: Vec<IdentTopic> = foreign.chain([heads.clone()]).collect();
    let (mut node, mut other) = met(&wanted).await;
    let peer = *other.local_peer_id();
    // One more that is known to come after all of these.
    let recalls = topic(&mesh(), Topic::Recalls);
    other.behaviour_mut().subscribe(&recalls).unwrap();
    while !topics(&node, &peer).contains(&recalls.hash()) {
        tokio::select! {
            _ = node.select_next_some() => {}
            _ = other.select_next_some() => {}
        }
    }
    let mut kept = topics(&node, &peer);
    kept.sort();
    let mut both = vec![heads.hash(), recalls.hash()];
    both.sort();
    assert_eq!(kept, both);
}

#[tokio::test]
async fn for_a_peer_that_does_not_read_no_more_than_a_queue_is_kept() {
    let heads = topic(&mesh(), Topic::Heads);
    // It is not looked after any more from here on, and so reads nothing.
    let (mut node, _other) = met(std::slice::from_ref(&heads)).await;
    let long = GOSSIP_BYTES_MAX / 2;
    let most = QUEUE + ON_THE_WAY / long;
    for number in 0u64.. {
        let mut message = vec![0; long];
        message[..8].copy_from_slice(&number.to_be_bytes());
        match node.behaviour_mut().gossip.publish(heads.clone(), message) {
            Ok(_) => assert!(number < most as u64, "{number} messages wait for one peer"),
            Err(PublishError::AllQueuesFull(peers)) => {
                return assert_eq!((peers, number >= QUEUE as u64), (1, true));
            }
            Err(error) => panic!("{error}"),
        }
        tokio::select! {
            biased;
            _ = node.select_next_some() => {}
            () = tokio::task::yield_now() => {}
        }
    }
}
