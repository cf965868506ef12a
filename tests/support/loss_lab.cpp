// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/loss_lab.h"

#include <signal.h>

#include <mutex>
#include <sstream>
#include <thread>

#include "support/isolation.h"

namespace anycast::test {

namespace {

// Bulk transfers that stay below the queues on their way: nothing but the line loses anything.
constexpr int kBuffer = 96 << 10;

std::string config_of(const Node &node, const LossConditions &conditions)
{
	std::ostringstream out;
	out << "[node]\nname = \"" << node.netns.name()
	    << "\"\nhash_seed = \"00112233445566778899aabbccddeeff\"\ninterfaces = [\"eth0\"]\n"
	       "roles = [\"edge\"]\n"
	    << conditions.extra
	    << "[[pools]]\nname = \"own\"\n[[pools.backends]]\nname = \"self\"\n"
	    << "address = \"203.0.113.1\"\n"
	    << "[[pools]]\nname = \"own6\"\n[[pools.backends]]\nname = \"self\"\n"
	       "address = \"2001:db8:203::1\"\n";
	for (const bool six : {false, true})
		for (const auto &[name, port] : {std::pair{"www", kWww.port}, {"sink", kSink.port}})
			out << "[[vips]]\nname = \"" << name << (six ? "6" : "")
			    << "\"\naddress = \"" << (six ? kVip6 : kVip) << "\"\nport = " << port
			    << "\nprotocol = \"tcp\"\npool = \"own" << (six ? "6" : "") << "\"\n";
	out << "[[vips]]\nname = \"echo\"\naddress = \"" << kVip << "\"\nport = " << kEcho.port
	    << "\nprotocol = \"udp\"\npool = \"own\"\n";
	return out.str();
}

} // namespace

MetricSum LossOutcome::of(const std::string &metric) const
{
	const auto found = metrics.find(metric);
	return found == metrics.end() ? MetricSum{} : found->second;
}

Endpoint LossLab::sink() const
{
	return conditions_.six ? kSink6 : kSink;
}

LossLab::LossLab(const LossConditions &conditions) : conditions_(conditions)
{
	line.emplace(LinkEnd{client, "eth0"}, node.nic(), 1500);
	client.ip("addr add 203.0.113.10/24 dev eth0\nroute add default via 203.0.113.1\n"
		  "addr add 2001:db8:203::10/64 dev eth0 nodad\n"
		  "route add ::/0 via 2001:db8:203::1");
	node.netns.ip("addr add 203.0.113.1/24 dev eth0\n"
		      "addr add 2001:db8:203::1/64 dev eth0 nodad");
	receive_on_cpu({client, "eth0"}, Line::cpu());
	add_dummy(node.netns, "anycast0");
	node.netns.ip(std::string("addr add ") + kVip + "/32 dev anycast0\naddr add " + kVip6 +
		      "/128 dev anycast0 nodad");
	for (const Netns *netns : {&client, &node.netns}) {
		netns->sysctl("net.ipv4.tcp_congestion_control", "reno");
		netns->sysctl("net.ipv4.tcp_timestamps", conditions.timestamps ? "1" : "0");
		netns->sysctl("net.ipv4.tcp_sack", conditions.sack ? "1" : "0");
		netns->sysctl("net.ipv4.tcp_ecn", conditions.ecn ? "1" : "0");
		netns->sysctl("net.ipv4.tcp_rmem", "4096 131072 1048576");
		netns->sysctl("net.ipv4.tcp_no_metrics_save", "1");
	}
	programs.attach_dropper_ingress(node.nic());
	const std::string big = std::string(kLabDir) + "/big";
	make_big_file(big, conditions.bytes, 1);
	node.servers.push_back(serve_http(node.netns, conditions.six ? kWww6 : kWww, big));
	node.servers.push_back(serve_sink(node.netns, sink()));
	cli.expect(node.netns, {"attach", "eth0", "--config",
				write_config(node, config_of(node, conditions_))});
	disable_offloads(node.nic()); // veth switches GRO on with its first XDP program
}

std::string LossLab::one_transfer(unsigned number)
{
	ConnectionOptions options{.limit = milliseconds(60000), .send_buffer = kBuffer};
	if (conditions_.wrap)
		options.first_sequence =
			0U - static_cast<std::uint32_t>(conditions_.bytes / 2 + number);
	if (conditions_.download)
		return http_download(client, conditions_.six ? kWww6 : kWww, "/big", "/dev/null",
				     UINT64_C(1) << 40, [](std::uint64_t) {},
				     {.limit = milliseconds(60000)})
			.error;
	if (conditions_.meanwhile != Meanwhile::kKeepAlives)
		return upload(client, sink(), conditions_.bytes, options).error;
	options.keepalive_s = 1;
	options.pause = milliseconds(2500);
	return upload(client, sink(), conditions_.bytes, options).error;
}

void LossLab::transfer(std::vector<std::string> &errors)
{
	std::mutex mutex;
	std::vector<std::jthread> threads;
	for (unsigned i = 0; i < conditions_.flows; i++)
		threads.emplace_back([&, i] {
			const std::string error = one_transfer(i);
			const std::lock_guard lock(mutex);
			if (!error.empty())
				errors.push_back(error);
		});
	disturb();
}

void LossLab::disturb()
{
	if (conditions_.meanwhile == Meanwhile::kNothing)
		return;
	std::this_thread::sleep_for(milliseconds(300));
	switch (conditions_.meanwhile) {
	case Meanwhile::kClosedWindow:
		kill(node.servers.back().pid(), SIGSTOP);
		std::this_thread::sleep_for(milliseconds(2000));
		kill(node.servers.back().pid(), SIGCONT);
		break;
	case Meanwhile::kOtherCpu:
	case Meanwhile::kTwoCpus:
		if (!line->use_other_cpu(conditions_.meanwhile == Meanwhile::kTwoCpus ? 50 : 0))
			throw LabError("this needs two CPUs");
		break;
	default:;
	}
}

std::uint64_t LossLab::send_datagrams() const
{
	const SocketAddress to(kEcho);
	const std::vector<char> data(500, 'd');
	std::uint64_t sent = 0;
	for (unsigned flow = 0; flow < conditions_.flows; flow++) {
		Fd fd;
		client.run([&] { fd = Fd(socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
		for (std::uint64_t left = conditions_.bytes; left > data.size();
		     left -= data.size()) {
			if (sendto(fd.get(), data.data(), data.size(), 0, to.get(), to.size) < 0)
				throw_errno("sendto");
			if (++sent % 64 == 0) // the queues on the way hold so many
				std::this_thread::sleep_for(milliseconds(1));
		}
	}
	return sent;
}

LossOutcome LossLab::read() const
{
	LossOutcome outcome;
	std::vector<std::string> command{"loss"};
	if (!conditions_.vip.empty())
		command.insert(command.end(), {"--vip", conditions_.vip});
	const auto document = cli.ask(node.netns, command);
	for (const auto &flow : document.at("flows")) {
		if (const auto &why = flow.at("loss_unknown"); why.is_string())
			outcome.blind[why.get<std::string>()]++;
		for (const auto &[name, figure] : flow.items()) {
			if (!figure.is_object() || !figure.contains("value"))
				continue;
			MetricSum &sum = outcome.metrics[name];
			if (!figure.at("value").is_number()) {
				sum.unknown++;
				continue;
			}
			sum.known++;
			sum.value += figure.at("value").get<std::uint64_t>();
			sum.of += figure.value("of", std::uint64_t{0});
			if (name == "c2s_up_lost")
				for (const char *key : {"evicted", "unrepaired", "resync"})
					outcome.blind[key] += figure.value(key, std::uint64_t{0});
		}
	}
	const std::string text = cli.expect(node.netns, command).out;
	const auto end = text.find_last_not_of('\n');
	const auto begin = text.rfind('\n', end);
	outcome.verdict = text.substr(begin + 1, end - begin);
	return outcome;
}

LossOutcome LossLab::run()
{
	// Neighbours are known before anything is measured.
	if (const Reply hello = http_get(client, conditions_.six ? kWww6 : kWww, "/"); !hello.ok)
		throw LabError("the node does not answer: " + hello.error);
	line->impair(Line::kForth, conditions_.forth);
	line->impair(Line::kBack, conditions_.back);
	programs.drop(conditions_.forth.seed + 1, conditions_.beyond_per_10000,
		      conditions_.six ? kVip6 : kVip, 0);
	std::vector<std::string> errors;
	std::uint64_t datagrams = 0;
	if (conditions_.meanwhile == Meanwhile::kUdp)
		datagrams = send_datagrams();
	else
		transfer(errors);
	std::this_thread::sleep_for(std::chrono::microseconds(
		2 * (conditions_.forth.delay_us + conditions_.back.delay_us) + 50'000));
	programs.stop_dropping();
	LossOutcome outcome = read();
	outcome.forth = line->counts(Line::kForth);
	outcome.back = line->counts(Line::kBack);
	outcome.beyond = programs.dropped();
	outcome.errors = std::move(errors);
	outcome.datagrams = datagrams;
	return outcome;
}

} // namespace anycast::test
