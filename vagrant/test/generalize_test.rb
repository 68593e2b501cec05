require_relative "helper"

class GeneralizeTest < Minitest::Test
  Listed = Struct.new(:type, :config)

  def package(type: :provision, state: :running, status: 0, **options)
    Dir.mktmpdir do |d|
      @machine = FakeMachine.new(d)
      @machine.provisioners << Listed.new(type, settled(**options))
      @machine.state = FakeMachine::State.new(state)
      @machine.communicate.status = status
      @packaged = false
      VagrantPlugins::ProvisionPlugin::Generalize.new(->(_env) { @packaged = true }, nil).call({machine: @machine})
    end
  end

  def asked = @machine.communicate.commands.grep(/provision generalize/)

  def test_before_a_box_is_made
    package
    assert @packaged
    assert_equal 1, asked.size
  end

  def test_only_where_it_is_wanted
    [{type: :shell}, {generalize: false}, {state: :not_created}, {generalize: false, state: :poweroff}].each do |o|
      package(**o)
      assert @packaged, o.inspect
      assert_empty asked, o.inspect
    end
  end

  def test_no_box_where_it_fails
    [{status: 4}, {state: :poweroff}].each do |o|
      assert_raises(VagrantPlugins::ProvisionPlugin::Failed, o.inspect) { package(**o) }
      refute @packaged, o.inspect
    end
  end
end
