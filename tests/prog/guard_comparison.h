// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program's guard beside the oracle (tests/support/oracle.h), frame by frame.
#pragma once

#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <sstream>
#include <string>

#include <bpf/bpf.h>

#include "core/reasons.h"
#include "prog/regressions.h"
#include "support/program_fixture.h"

namespace anycast::test {

using Frame = std::span<const std::uint8_t>;

inline const std::vector<std::uint32_t> &rule_numbers()
{
	static const std::vector<std::uint32_t> numbers = [] {
		std::vector<std::uint32_t> list;
		for (const ReasonInfo &reason : reasons())
			if (reason.cls == AX_CLASS_RULE)
				list.push_back(static_cast<std::uint32_t>(reason.number));
		return list;
	}();
	return numbers;
}

// What the oracle says of a frame, in the program's terms. No VIP is configured.
struct Expected {
	ax_reason reason = AX_CONTINUE;
	std::set<ax_reason> noted;
};

inline Expected expected_of(Frame frame, const GuardRules &rules,
			    const GuardSessions &sessions = {})
{
	const GuardVerdict verdict = guard_oracle(frame, rules, sessions);
	Expected expected;
	expected.noted = {verdict.counted.begin(), verdict.counted.end()};
	if (verdict.verdict != AX_CONTINUE) {
		expected.reason = verdict.verdict;
		return expected;
	}
	constexpr std::array<ax_reason, 4> kPassed{AX_R_NOT_VIP, AX_R_NOT_IP, AX_R_TOO_DEEP,
						   AX_R_OPAQUE};
	expected.reason = verdict.accepted ? AX_R_GTSM_ACCEPTED
					   : kPassed[static_cast<std::size_t>(verdict.seen)];
	// Not of the guard, but of every packet whose header was read to its end.
	const auto passed = [&](bool broken, ax_reason rule) {
		if (!broken || verdict.seen != Seen::kIp || expected.reason >= 48)
			return;
		if (rules.action[rule] == AX_ACTION_DROP)
			expected.reason = rule;
		else if (rules.action[rule] == AX_ACTION_COUNT)
			expected.noted.insert(rule);
	};
	passed(verdict.bad_checksum, AX_R_IP4_CHECKSUM_PASSED);
	passed(verdict.ttl_zero,
	       verdict.hop_zero ? AX_R_IP6_HOP_ZERO_PASSED : AX_R_IP4_TTL_ZERO_PASSED);
	return expected;
}

class GuardComparison : public ProgramTest {
protected:
	explicit GuardComparison(std::uint32_t roles = AX_ROLE_EDGE) : ProgramTest(roles) {}
	void SetUp() override
	{
		ProgramTest::SetUp();
		apply(guard_only());
		out_.resize(70000);
		use(GuardRules{});
	}

	// The actions of the half in force, changed where they lie.
	void use(const GuardRules &rules)
	{
		rules_ = rules;
		ax_ctl control = *dataplane().control();
		for (std::size_t i = 0; i < AX_REASON_LIMIT; ++i)
			control.half[control.generation & 1].action[i] =
				static_cast<__u8>(rules.action[i]);
		ASSERT_TRUE(dataplane().write_control(control));
		noted_ = read_notes();
	}
	[[nodiscard]] const GuardRules &rules() const { return rules_; }

	// As ProgramTest::send(), without copies. False: the kernel takes no such frame.
	bool run(Frame frame, std::uint32_t &verdict, ax_trace &trace)
	{
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
			    .data_out = out_.data(),
			    .data_size_in = static_cast<std::uint32_t>(frame.size()),
			    .data_size_out = static_cast<std::uint32_t>(out_.size()), .repeat = 1);
		if (bpf_prog_test_run_opts(program().fd(), &options) != 0)
			return false;
		count_sent();
		verdict = options.retval;
		trace = *dataplane().trace();
		out_size_ = options.data_size_out;
		return true;
	}
	[[nodiscard]] Frame out() const { return Frame(out_).first(out_size_); }

	// What should become of a frame. Suites that put frames into something ask about that.
	virtual Expected wanted(Frame frame) { return expected_of(frame, rules_); }

	// "" if the program does what the oracle says; notes are looked at too.
	std::string difference(Frame frame)
	{
		const Expected expected = wanted(frame);
		std::uint32_t verdict = 0;
		ax_trace trace{};
		const auto before = read_notes();
		if (!run(frame, verdict, trace))
			return "";
		noted_ = read_notes();
		std::set<ax_reason> noted;
		for (const std::uint32_t rule : rule_numbers())
			if (noted_[rule] != before[rule])
				noted.insert(static_cast<ax_reason>(rule));
		std::ostringstream text;
		const auto reason = static_cast<ax_reason>(trace.reason);
		if (reason != expected.reason || noted != expected.noted ||
		    verdict != (expected.reason >= 48 ? XDP_DROP : XDP_PASS)) {
			text << "program: verdict " << verdict << " " << reason_label(reason);
			for (const ax_reason note : noted)
				text << ", counted " << reason_label(note);
			text << "\noracle: " << reason_label(expected.reason);
			for (const ax_reason note : expected.noted)
				text << ", counted " << reason_label(note);
		}
		return text.str();
	}

	// The same of many frames, reading the counters once: counts by rule what is expected, and
	// false if a reason differs.
	bool same_reason(Frame frame)
	{
		const Expected expected = wanted(frame);
		std::uint32_t verdict = 0;
		ax_trace trace{};
		if (!run(frame, verdict, trace))
			return true;
		for (const ax_reason note : expected.noted)
			++noted_[note];
		return trace.reason == static_cast<std::uint32_t>(expected.reason) &&
		       verdict == (expected.reason >= 48 ? XDP_DROP : XDP_PASS);
	}
	bool same_notes() { return noted_ == read_notes(); }
	// Rules that were counted more often than expected since same_reason() began to count.
	std::set<ax_reason> counted_too_often()
	{
		std::set<ax_reason> rules;
		const auto now = read_notes();
		for (const std::uint32_t rule : rule_numbers())
			if (now[rule] > noted_[rule])
				rules.insert(static_cast<ax_reason>(rule));
		return rules;
	}

	// Shorter and plainer, as long as the difference stays.
	Bytes minimised(Bytes frame)
	{
		const auto differs = [&](Frame smaller) { return !difference(smaller).empty(); };
		for (std::size_t length = 14; length < frame.size(); ++length)
			if (differs(Frame(frame).first(length)))
				frame.resize(length);
		for (std::size_t at = 12; at < frame.size();) { // some bytes less
			Bytes without = frame;
			without.erase(without.begin() + static_cast<long>(at));
			if (without.size() >= 14 && differs(without))
				frame = std::move(without);
			else
				++at;
		}
		for (std::uint8_t &byte : frame) {
			const std::uint8_t was = byte;
			byte = 0;
			if (was != 0 && !differs(frame))
				byte = was;
		}
		return frame;
	}
	// Says what differs, and keeps the minimised frame as a case for RegressionCases.
	void report(const Bytes &frame, const std::string &what)
	{
		const Bytes small = minimised(frame);
		const std::string said = difference(small);
		std::string name = what, comment = what + ": " + said;
		std::ranges::replace(name, ' ', '-');
		std::ranges::replace(comment, '\n', ';');
		const std::string file = save_regression({comment, rules_, small}, name);
		ADD_FAILURE() << what << "\n"
			      << difference(frame) << "\nminimised:\n"
			      << said << "\n"
			      << Packet(Raw{small}).hex()
			      << (file.empty() ? "not saved: no folder" : "saved as " + file);
	}

private:
	using Notes = std::array<std::uint64_t, AX_REASON_LIMIT>;
	Notes read_notes()
	{
		Notes notes{};
		for (const std::uint32_t rule : rule_numbers())
			notes[rule] = (*dataplane().map("ax_note").sum(rule))[0];
		return notes;
	}

	GuardRules rules_;
	Notes noted_{};
	Bytes out_;
	std::size_t out_size_ = 0;
};

} // namespace anycast::test
