//! VMs with a past: an old line for istiod, a folder where the package makes a link, a firewall for the application.

use acceptance_tests::workload::{Workload, fails, holds, texts};
use acceptance_tests::{Done, Scenario};

use crate::demo::{call_vm, can_call_pod};

/// As Istio's guide and cloud-init leave a machine.
const PAST: &str = "
    echo 10.255.255.1 istiod.istio-system.svc >>/etc/hosts
    umask 077
    mkdir -p /etc/istio/config
    echo 'defaultConfig: {discoveryAddress: elsewhere:15012}' >/etc/istio/config/mesh
    touch /etc/istio/theirs
    iptables -A INPUT -i lo -j ACCEPT
    iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A INPUT -p tcp -m multiport --dports 22,9080 -j ACCEPT
    iptables -A INPUT -p tcp -j REJECT";
const LISTING: &str = "cat /etc/hosts; find /etc/istio -exec stat -c '%n %U %a %s' {} + | sort";

#[tokio::test]
async fn a_vm_with_a_past_joins_and_has_it_back_after_a_destroy() -> Done {
    let scenario = Scenario::begin("past")?;
    let vm = &scenario.vm;
    vm.shell(PAST)?;
    let before = vm.shell(LISTING)?;
    let mut workload = Workload::new(&scenario)?;
    // Resolvers prefer an address of the machine itself, wherever its line is.
    vm.shell("sed -i 's/^10.255.255.1 /127.0.0.9 /' /etc/hosts")?;
    let words = [
        "of /etc/hosts has the address 127.0.0.9 for istiod.istio-system.svc",
        "Remove the name from that line",
    ];
    fails(&workload.apply().await?, "vm-reverted", &words)?;
    assert!(workload.state.is_none(), "{:?}", workload.state);
    assert_eq!(scenario.objects()?, [""; 0]);
    vm.shell("sed -i 's/^127.0.0.9 /10.255.255.1 /' /etc/hosts")?;
    assert_eq!(vm.shell(LISTING)?, before);

    let reported = workload.apply().await?;
    let [warning] = reported.as_slice() else {
        panic!("{}", texts(&reported))
    };
    let rule = "15006: -A INPUT -p tcp -j REJECT --reject-with icmp-port-unreachable";
    holds(warning, "firewall-blocks", &[rule])?;
    vm.shell("iptables -I INPUT -p tcp --dport 15006 -j ACCEPT")?;
    call_vm(&scenario)?;
    can_call_pod(&scenario)?;
    workload.converge().await?;
    assert_eq!(texts(&workload.destroy().await?), "");
    assert_eq!(vm.shell(LISTING)?, before);
    Ok(())
}
